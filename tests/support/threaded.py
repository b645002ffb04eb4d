"""The blocking store behind the asynchronous names, so that it joins the same contract suite.

Each call runs in a thread of its own, which blocks. A cancelled call goes on in its thread, as a
thread does. The next step of an iterator whose step was cancelled takes over what that one gets.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.lowlevel import current_token

from eventstore import EventStore
from eventstore.sync import EventStore as BlockingStore
from eventstore.system.event_loop import loop_caller, wait_settled
from eventstore.system.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from eventstore.system.event_loop import Signal
    from eventstore.system.turn_waiting import TurnWaiting

T = TypeVar("T")

_END = object()


def begin(function: Callable[[], T]) -> Pending[T]:
    """Start ``function`` in a thread; the outcome is told in the current event loop."""
    pending: Pending[T] = Pending()
    call = loop_caller()

    def work() -> None:
        try:
            pending.complete(function())
        except BaseException as error:
            pending.fail(error)
        call(pending.tell)

    threading.Thread(target=work, daemon=True).start()
    return pending


async def in_thread(function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Return the result of a call in a thread, from which a callback may call the event loop."""
    call = partial(function, *args, **options)
    limiter = anyio.CapacityLimiter(1)
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=limiter)


class ThreadedIterator:
    """Steps of a blocking iterator, each in a thread."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator
        self._abandoned: Pending[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        step, self._abandoned = self._abandoned, None
        if step is None:
            step = begin(partial(next, self._iterator, _END))
        try:
            item = await wait_settled(step, current_token().native_token)
        except BaseException:
            if step.cancelled:
                step.cancelled = False
                self._abandoned = step
            raise
        if item is _END:
            raise StopAsyncIteration
        return item


class ThreadedSubscription(ThreadedIterator):
    """A blocking subscription, each of its calls in a thread."""

    def __getattr__(self, name: str) -> Any:
        if hasattr(self._iterator, name):
            return getattr(self._iterator, name)
        return getattr(self._iterator._shared, name)

    async def __aenter__(self) -> Self:
        await in_thread(self._iterator.open)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def commits(self) -> ThreadedIterator:
        return ThreadedIterator(self._iterator.commits())

    async def ack(self, one: Any = None, *, flush: bool = False) -> None:
        await in_thread(self._iterator.ack, one, flush=flush)

    async def reject(self, *args: Any) -> None:
        await in_thread(self._iterator.reject, *args)

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await in_thread(self._iterator.close)


class _ThreadedSignal:
    def __init__(self, signal: Signal, waiting: TurnWaiting) -> None:
        self._signal, self._waiting = signal, waiting

    @property
    def count(self) -> int:
        return self._signal.count

    async def wait(self, seen: int, timeout: float, _: anyio.Event) -> bool:
        woken = self._waiting.event()
        wait = self._signal.wait(seen, timeout, woken)
        return await in_thread(self._waiting.run, wait)


class _ThreadedFeed:
    def __init__(self, store: Any) -> None:
        self._store = store
        self.waiting = _ThreadedSignal(store._shared.feed.waiting, store._waiting)

    async def page(self, query: Any) -> Any:
        return await in_thread(self._store._waiting.run, self._store._shared.feed.page(query))


class ThreadedStore:
    """What the contracts call ``EventStore``, on :class:`eventstore.sync.EventStore`."""

    restore = EventStore.restore  # The blocking store has none: it needs no open store.

    def __init__(self, store: BlockingStore) -> None:
        self._store = store
        self.feed = _ThreadedFeed(store)

    @classmethod
    def open(cls, url: str, **options: Any) -> ThreadedStore:
        return cls(BlockingStore.open(url, **options))

    def __getattr__(self, name: str) -> Any:
        if not hasattr(self._store, name):
            return getattr(self._store._shared, name)
        value = getattr(self._store, name)
        return partial(in_thread, value) if callable(value) and name != "clock" else value

    async def __aenter__(self) -> Self:
        await in_thread(self._store.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await in_thread(self._store.close)

    def read(self, **options: Any) -> ThreadedIterator:
        return ThreadedIterator(self._store.read(**options))

    def read_stream(self, stream: str, **options: Any) -> ThreadedIterator:
        return ThreadedIterator(self._store.read_stream(stream, **options))

    def streams(self, prefix: str = "") -> ThreadedIterator:
        return ThreadedIterator(self._store.streams(prefix))

    def subscribe_changes(self, **options: Any) -> ThreadedSubscription:
        return ThreadedSubscription(self._store.subscribe_changes(**options))

    def transact_later(self, function: Callable[[Any], None]) -> Any:
        return self._store.transact_later(function)
