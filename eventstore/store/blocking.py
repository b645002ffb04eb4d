"""The store for threads: the same code as the asynchronous store, run where it is called."""

from __future__ import annotations

from collections.abc import Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, Unpack

from eventstore.log.events import ANY, Event, StreamWrite
from eventstore.log.validation import check_append, check_seconds
from eventstore.store.blocking_subscription import Subscription
from eventstore.store.event_store import EventStore as SharedStore
from eventstore.store.options import FollowOptions, OpenOptions
from eventstore.system.contexts import ClosingContext
from eventstore.system.keywords import shows
from eventstore.system.turn_waiting import TurnWaiting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from concurrent.futures import Future
    from typing import Self

    from eventstore.log.events import Appended, Expected, NewEvent
    from eventstore.log.operations import StreamState
    from eventstore.store._reader import EventReader

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[SharedStore, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[EventStore, P], T]:
    """Return a method that does in the calling thread what ``method`` does in a task."""

    def call(self: EventStore, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._waiting.run(method(self._shared, *args, **kwargs))

    update_wrapper(call, method)
    return call


def _reading(
    method: Callable[Concatenate[SharedStore, P], EventReader],
) -> Callable[Concatenate[EventStore, P], Reader]:
    """Return a method that reads in the calling thread what ``method`` reads in a task."""

    def call(self: EventStore, /, *args: P.args, **kwargs: P.kwargs) -> Reader:
        return Reader(method(self._shared, *args, **kwargs), self._waiting)

    update_wrapper(call, method)
    return call


class _TurnStore(SharedStore):
    """The shared store, whose coroutines wait by blocking the thread that runs them."""

    def __init__(self, *given: Any, **options: Any) -> None:
        self.turns = TurnWaiting()
        super().__init__(*given, **options, how=self.turns)


class EventStore(ClosingContext):
    """One event log, for programs and threads without an event loop.

    Open it with ``with EventStore.open(url) as store:``. Any number of threads may use one store.
    A thread that appends carries its append out itself, together with those that came while
    another thread was writing. Methods have the names, arguments, results and errors of
    :class:`eventstore.EventStore`; :meth:`close` ends what other threads wait for, with
    StoreClosedError.
    """

    def __init__(self, shared: _TurnStore) -> None:
        self._waiting = shared.turns
        self._shared = shared
        self._log = shared._log  # noqa: SLF001 - this store and that one are one
        self.clock = shared.clock
        """Returns the time in microseconds since the epoch."""
        self.inline = shared.inline
        """The names of the inline projections."""
        self.url = shared.url
        """Names the log, without a password."""

    @classmethod
    @shows(OpenOptions, SharedStore.open)
    def open(cls, url: str, **options: Unpack[OpenOptions]) -> Self:
        """Name a log to be entered with ``with``; see :meth:`eventstore.EventStore.open`."""
        return cls(_TurnStore.open(url, **options))

    def __enter__(self) -> Self:
        self._waiting.run(self._shared.__aenter__())
        return self

    def close(self) -> None:
        """Finish queued appends, store checkpoints, end subscriptions, release the log."""
        self._waiting.run(self._shared.aclose())

    @property
    def owner(self) -> str:
        """Names this process, as ``host:pid``, as an owner of consumers."""
        return self._shared.owner

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._shared.closed

    def check_open(self) -> None:
        """Raise what every method raises where the store is not open, or not open here."""
        self._shared.check_open()

    def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: Expected = ANY
    ) -> Appended:
        """Append events to one stream; return once they are durable.

        Raises what :meth:`eventstore.EventStore.append` raises. A KeyboardInterrupt may leave the
        outcome unknown: append the same events again.
        """
        return self.append_many([StreamWrite(stream, events, expected)])

    def append_many(self, writes: Iterable[StreamWrite]) -> Appended:
        """Append to several streams as one commit, or nothing."""
        self._log.check_open()
        return self._log.append_here(check_append(writes))

    @shows(FollowOptions, SharedStore.subscribe_changes)
    def subscribe_changes(
        self, *, timeout: float | None = None, **options: Unpack[FollowOptions]
    ) -> Subscription:
        """Follow the log; see :meth:`eventstore.EventStore.subscribe_changes`.

        With ``timeout`` the iteration ends once so many seconds have passed without an event.
        """
        if timeout is not None:
            check_seconds("timeout", timeout, zero=True)
        return Subscription(self._shared.subscribe_changes(**options), self._waiting, timeout)

    def streams(self, prefix: str = "") -> Iterator[StreamState]:
        """Yield every stream whose name begins with ``prefix``, in the order of names."""
        states = self._shared.streams(prefix)
        while True:
            try:
                state = self._waiting.run(_next(states))
            except StopAsyncIteration:
                return
            yield state

    def transact_later(self, function: Callable[[Any], None]) -> Future[None]:
        """Do the same as :meth:`transact` within 200 ms, together with the next appends.

        The future gives the outcome. Closing the store carries out what is left.
        """
        return self._shared.transact_later(function)

    read = _reading(SharedStore.read)
    read_stream = _reading(SharedStore.read_stream)
    head = _blocking(SharedStore.head)
    query = _blocking(SharedStore.query)
    status = _blocking(SharedStore.status)
    transact = _blocking(SharedStore.transact)
    consumers = _blocking(SharedStore.consumers)
    remove_consumer = _blocking(SharedStore.remove_consumer)
    rewind_consumer = _blocking(SharedStore.rewind_consumer)
    skip_gone = _blocking(SharedStore.skip_gone)
    store_report = _blocking(SharedStore.store_report)
    forget_report = _blocking(SharedStore.forget_report)
    reports = _blocking(SharedStore.reports)
    wait_applied = _blocking(SharedStore.wait_applied)
    verify = _blocking(SharedStore.verify)
    redact = _blocking(SharedStore.redact)
    export = _blocking(SharedStore.export)
    import_from = _blocking(SharedStore.import_from)
    trim = _blocking(SharedStore.trim)
    build_view = _blocking(SharedStore.build_view)
    swap_view = _blocking(SharedStore.swap_view)
    backup = _blocking(SharedStore.backup)
    renew_incarnation = _blocking(SharedStore.renew_incarnation)


class Reader(Iterator[Event]):
    """An iterator over a range of events; it holds no connection between pages."""

    def __init__(self, shared: EventReader, waiting: TurnWaiting) -> None:
        self._shared = shared
        self._run = waiting.run

    def __iter__(self) -> Iterator[Event]:  # noqa: PYI034
        # A loop over a generator takes a third of the time of one that calls __next__.
        yield from self._shared.page
        while self._run(self._shared.fill()):
            yield from self._shared.page

    def __next__(self) -> Event:
        for event in self._shared.page:
            return event
        if not self._run(self._shared.fill()):
            raise StopIteration
        return next(self._shared.page)


async def _next(iterator: Any) -> Any:
    return await anext(iterator)
