"""The store: append, read and follow one event log."""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventstore.changes.page_cache import PageCache
from eventstore.changes.poll_schedule import PollSchedule
from eventstore.changes.subscription import Subscription
from eventstore.changes.tail_buffer import TailBuffer
from eventstore.config import keys_in_force
from eventstore.errors import InvalidInputError, StorageError, StoreClosedError
from eventstore.log.clock import system_clock
from eventstore.log.events import (
    ANY,
    Appended,
    Cursor,
    Event,
    Expected,
    NewEvent,
    Special,
    StreamWrite,
)
from eventstore.log.names import check_stream
from eventstore.log.operations import (
    Acknowledge,
    CommitBatch,
    ConsumerState,
    Head,
    OpenConsumer,
    Page,
    Query,
    Transact,
)
from eventstore.log.upcasting import LiftedView, lifted_page
from eventstore.log.validation import (
    check_after,
    check_append,
    check_limit,
    check_names,
    check_shard,
    check_streams,
    check_types,
    check_until,
)
from eventstore.notify.notifiers import make_notifier
from eventstore.storage.backends import make_backend
from eventstore.store.consumer_status import describe_consumer
from eventstore.store.maintenance import Upkeep
from eventstore.store.reader import EventReader
from eventstore.store.wait_applied import wait_applied
from eventstore.store.writer import Writer
from eventstore.system.event_loop import Inbox, Signal, loop_caller, wait_future

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from eventstore.archive.transfer import Moved
    from eventstore.log.clock import Clock
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.operations import Operation
    from eventstore.log.upcasting import Upcasters

T = TypeVar("T")

POLL_SECONDS: Final = 1.0
"""How long a waiting follower may know nothing of the log before it looks; see pace.py."""

READERS: Final = 8
"""Pages read at once, in threads of the store's own: a hundred followers share them."""

MAX_VERSION: Final = 2**63 - 1
"""What a database column can hold; no stream gets there."""


def _do_nothing(connection: Any) -> None:
    """Only bring the views to the head."""


class EventStore(Upkeep):
    """One event log, and everything that one program does with it.

    Open it with ``async with EventStore.open(url) as store:``. It runs on asyncio and on
    trio. One store may be used by any number of tasks of the event loop that opened it.

    Every method raises :class:`~eventstore.errors.StorageError` where the database fails and
    :class:`~eventstore.errors.StoreClosedError` where the store is not open.
    """

    def __init__(
        self,
        url: str,
        notify: str,
        inline: Sequence[InlineProjection],
        clock: Clock,
        poll: float,
        upcasters: Upcasters | None = None,
        notify_keys: Sequence[str] | None = None,
    ) -> None:
        self.poll = poll
        self.clock = clock
        self.changed = Signal()
        self.readable = Signal()
        """Set when a follower can read again after the database was away."""
        self.owner = f"{socket.gethostname()}:{os.getpid()}"
        if upcasters is not None:
            upcasters.seal()
            inline = [LiftedView(view, upcasters) for view in inline]
        self.inline = tuple(view.name for view in inline)
        """The names of the views that appends keep up to date."""
        self._backend = make_backend(url, clock, inline)
        self.url = self._backend.url
        """Names the log, without a password."""
        self._read_page: Callable[[Query], Page] = (
            self._backend.page
            if upcasters is None
            else partial(lifted_page, upcasters, self._backend.page)
        )
        self._lift: Callable[[Event], Event] = upcasters.lift if upcasters else _as_it_is
        self._notifier = make_notifier(
            notify, url, self._backend.path, keys_in_force() if notify_keys is None else notify_keys
        )
        self._writer = Writer(self._backend, self._committed, batch=self._notifier.carries_batches)
        self._watching = False
        self._state = "new"
        self.seen = Cursor("", 0, b"")
        """The newest head that this store has read or written, without asking again."""

    @classmethod
    def open(
        cls,
        url: str,
        *,
        notify: str = "auto",
        inline: Sequence[InlineProjection] = (),
        clock: Clock = system_clock,
        poll: float = POLL_SECONDS,
        upcasters: Upcasters | None = None,
        notify_keys: Sequence[str] | None = None,
    ) -> Self:
        """Name a log to be entered with ``async with``.

        ``url`` is ``sqlite:///events.db`` (four slashes for an absolute path),
        ``postgresql://user:password@host/database`` (with any of libpq's parameters) or
        ``memory://``; a file or table that is not there is created. ``notify`` wakes followers
        in other processes: ``"auto"``, ``"file"``, ``"postgres"``, ``"none"`` or the URL of a
        Redis, whose messages are signed with the first of ``notify_keys`` (default: those of
        the environment) and believed if one of them has signed. ``inline`` projections are
        applied inside each append's transaction. ``clock`` gives microseconds since the epoch.
        ``poll`` is how many seconds a follower may go without knowing how far the log is: it
        looks for itself unless another process has just looked and told it. ``upcasters`` lift
        events of older shapes wherever they are read.

        Raises ConfigError for a URL or notifier that is not known.
        """
        return cls(url, notify, inline, clock, poll, upcasters, notify_keys)

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise StoreClosedError("a store is entered once: call EventStore.open again")
        self._limiter = anyio.CapacityLimiter(READERS)
        await self._in_thread(self._backend.open)
        self.seen = (await self._in_thread(self._backend.head)).cursor
        self.tail = TailBuffer(
            self.page, self.changed, PollSchedule(self.poll), self._confirm, self._lift
        )
        self.shelf = PageCache(self.page)
        """What the followers of this store share: the log's end, and what they read before it."""
        self._call = loop_caller()
        self._inbox = Inbox(self._call, self._offer, self.changed.set)
        self._writer.start(self._call, self._lost)
        self._state = "open"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish queued appends, store acknowledgements, end followers, release the log."""
        if self._state != "open":
            return
        self._state = "closed"
        with anyio.CancelScope(shield=True):
            await self._in_thread(self._writer.close)
            self.changed.set()
            await self._in_thread(self._notifier.close)
            await self._in_thread(self._backend.close)

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: Expected = ANY
    ) -> Appended:
        """Append events to one stream; return once they are durable.

        ``expected`` is the version that the stream must have: a number, ``NO_STREAM``,
        ``STREAM_EXISTS`` or ``ANY``. Raises ConflictError where it has another,
        DuplicateEventError where an id is known with other content, InvalidInputError or
        LimitExceededError for what may not be stored. If the call is cancelled, or fails
        with StorageError, the outcome may be unknown: append the same events again.
        """
        return await self.append_many([StreamWrite(stream, events, expected)])

    async def append_many(self, writes: Iterable[StreamWrite]) -> Appended:
        """Append to several different streams as one commit: all of it, or nothing.

        Raises what :meth:`append` raises.
        """
        self._check_open()
        appended: Appended = await wait_future(self._writer.submit(check_append(writes)))
        self._see(appended.cursor)
        return appended

    def read(
        self,
        *,
        after: int | Cursor = 0,
        until: int | Cursor | None = None,
        streams: str | None = None,
        types: Iterable[str] | None = None,
        backwards: bool = False,
        limit: int | None = None,
        kept: bool = False,
    ) -> EventReader:
        """Read the events in ``(after, until]`` that match, and end.

        ``until=None`` is the head as the reading begins. ``streams`` is a category ending
        in ``/``, or one exact name; ``types`` a set of event types, as upcasters have lifted
        them. ``backwards`` gives the same events in the other order. With ``kept`` a read that
        begins below the first position starts with what trimming has kept. Iterating raises
        HistoryGoneError where ``after`` lies before the first position that is kept,
        HistoryDivergedError where it is beyond the head or a Cursor of another history, and
        UpcastError at an event that cannot be lifted.
        """
        start = check_after(after)
        if isinstance(start, Special):
            raise InvalidInputError("after=END", "only a subscription starts there")
        query = Query(
            after=start.position if isinstance(start, Cursor) else start,
            until=check_until(until),
            streams=check_streams(streams),
            types=check_types(types),
            backwards=backwards,
            expect=start if isinstance(start, Cursor) else None,
            kept=kept,
        )
        return EventReader(self, query, check_limit(limit))

    def read_stream(
        self,
        stream: str,
        *,
        after_version: int = 0,
        backwards: bool = False,
        limit: int | None = None,
    ) -> EventReader:
        """Read one stream's events after a version, and end. No such stream, no events."""
        if type(after_version) is not int or after_version < 0:
            raise InvalidInputError(f"after_version={after_version!r:.40}", "is no version")
        query = Query(
            streams=check_stream(stream),
            after_version=min(after_version, MAX_VERSION),
            backwards=backwards,
        )
        return EventReader(self, query, check_limit(limit), from_first=True)

    async def head(self) -> Head:
        """Return where the log ends (``position``, ``hash``) and begins (``first_position``)."""
        head = await self._run(self._backend.head)
        self._see(head.cursor)
        return head

    def subscribe_changes(
        self,
        *,
        after: int | Cursor | Special = 0,
        streams: str | None = None,
        types: Iterable[str] | None = None,
        consumer: str | None = None,
        follow: bool = True,
        shard: tuple[int, int] | None = None,
        kept: bool = False,
    ) -> Subscription:
        """Follow the log: every matching event after ``after``, in order, without an end.

        ``follow=False`` ends it once it has caught up, for a worker that runs now and then.
        With ``consumer``, the log keeps this follower's cursor under that name, and
        ``after`` only says where a new name begins. ``shard=(i, n)`` takes the ``i``-th of
        ``n`` parts, so that ``n`` followers share the work: a stream belongs to one part as
        a whole, which keeps its order. With ``kept`` a follower that is below the first
        position goes on with what trimming has kept since where it was, instead of
        HistoryGoneError. See :class:`Subscription`.
        """
        return Subscription(
            self,
            after=check_after(after),
            streams=check_streams(streams),
            types=check_types(types),
            consumer=consumer,
            follow=follow,
            shard=check_shard(shard),
            kept=kept,
        )

    async def wait_applied(
        self,
        position: int,
        consumers: Iterable[str] | None = None,
        *,
        timeout: float = 30.0,
    ) -> list[ConsumerState]:
        """Return once named consumers have done everything up to ``position``.

        ``consumers`` are all that the log knows where left out. What a consumer has done is
        stored within 200 ms, or at once by ``ack(flush=True)``. Raises ChangeRejectedError as
        soon as one of them has rejected an event of the commit at ``position``, and
        NotAppliedError, a TimeoutError, after ``timeout`` seconds.
        """
        check_until(position)
        names = None if consumers is None else check_names(consumers)
        return await wait_applied(self, position, names, timeout)

    async def consumers(self) -> list[ConsumerState]:
        """Return every named consumer with its cursor, by name."""
        return await self._run(self._backend.consumers)

    async def status(self) -> dict[str, Any]:
        """Return what an operator asks first, as JSON-ready values."""
        head = await self.head()
        facts = await self._run(self._backend.describe)
        consumers = [await describe_consumer(self, state, head) for state in await self.consumers()]
        return {
            "url": self.url,
            **facts,
            **self.notifier_facts(),
            "looks": self.tail.reads,
            "unused_news": self.tail.unused,
            "log_id": head.log_id,
            "first_position": head.first_position,
            "position": head.position,
            "hash": head.hash.hex(),
            "consumers": consumers,
        }

    async def page(self, query: Query) -> Page:
        """Read one page: what readers, subscriptions and projections are built from."""
        page = await self._run(self._read_page, query)
        self._see(page.head.cursor)
        return page

    async def query(self, function: Callable[[Any, Head], T]) -> T:
        """Return ``function(connection, head)`` from one snapshot of the log's database.

        For reading inline views: it runs in a thread, and must change nothing. A view is as
        far as its cursor says, which is behind ``head`` where a program without the view has
        appended; :meth:`transact` brings it up to date.
        """
        return await self._run(self._backend.query, function)

    async def transact(self, function: Callable[[Any], None] = _do_nothing) -> None:
        """Bring inline views to the head, then call ``function(connection)``, in one transaction.

        For what is kept beside the log because it is no history: access times, heartbeats.
        Where the function raises nothing is stored, and the error is raised here (as
        StorageError where it could be the database's own, like KeyError or OSError).
        """
        self._check_open()
        await wait_future(self._writer.submit(Transact(function)))

    def transact_later(self, function: Callable[[Any], None]) -> Future[None]:
        """Do the same within 200 ms, without being waited for.

        The future has the result; it is not cancelled by closing, which does what is left.
        """
        self._check_open()
        return self._writer.submit_later(Transact(function))

    async def open_consumer(self, name: str, start: Cursor) -> ConsumerState:
        """Own a consumer's name, creating it at ``start``; the owner before loses it."""
        self._check_open()
        state: ConsumerState = await wait_future(
            self._writer.submit(OpenConsumer(name, self.owner, start))
        )
        if (earlier := self.tail.consumers.get(name)) is not None:
            self._lost(name, earlier, self.owner)
        self.tail.consumers[name] = state.epoch
        return state

    def release_consumer(self, name: str, epoch: int) -> None:
        """Look after a consumer no longer: its subscription has ended."""
        self.tail.lost.pop((name, epoch), None)
        if self.tail.consumers.get(name) == epoch:
            del self.tail.consumers[name]

    async def skip_gone(self, consumer: str) -> Cursor:
        """Move a named consumer on to the first position, if it is below; return where it is.

        What was trimmed is then passed over for good: for a consumer that got
        HistoryGoneError and has no use for what was kept. The owner before loses the name.
        """
        head = await self.head()
        first = Cursor(head.log_id, head.first_position - 1, head.base_hash or b"")
        state = await self.open_consumer(consumer, first)
        if state.cursor.position >= first.position:
            return state.cursor
        await wait_future(self.writer.submit(Acknowledge(consumer, state.epoch, first)))
        return first

    def _submit(self, operation: Operation) -> Future[Any]:
        return self.writer.submit(operation)

    async def _became(self, moved: Moved) -> None:
        self.seen = (await self._in_thread(self._backend.head)).cursor
        self.tail.reset()
        self.shelf.clear()
        self._committed(moved.position, None)

    @property
    def writer(self) -> Writer:
        """The thread that writes, for acknowledgements."""
        self._check_open()
        return self._writer

    def watch(self) -> None:
        """Start to listen for other processes' commits, once; called before a first read."""
        self._check_open()
        if not self._watching:
            self._watching = True
            self._notifier.start(self.seen.log_id, self._woken)

    def notifier_facts(self) -> dict[str, str | int]:
        """Return what :meth:`status` says of the notifier, without asking the database."""
        return self._notifier.describe()

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._state == "closed"

    def _see(self, cursor: Cursor) -> None:
        if cursor.position > self.seen.position:
            self.seen = cursor

    def _committed(self, position: int, batch: CommitBatch | None) -> None:
        self._woken(None, batch)
        self._notifier.publish(self.seen.log_id, position, batch)

    def _woken(self, position: int | None = None, batch: CommitBatch | None = None) -> None:
        """Hear from the notifier, in its thread."""
        if batch is not None:
            self._inbox.put(batch)
        elif position is None:
            # Nobody but this process says that: there is something to look for.
            self.changed.set()
            if self.tail.fruitless:
                self._call(self.tail.trust)
        elif position > self.tail.position:
            self.changed.set()
        else:
            self._call(partial(self.tail.hear, position))

    def _offer(self, batch: CommitBatch) -> None:
        if self.tail.offer(batch):
            self.changed.set(told=True)
        elif self.tail.hear(batch.position, batch.events[-1].hash):
            self.changed.set()

    def _confirm(self, position: int) -> None:
        self._notifier.confirm(self.seen.log_id, position)

    def _lost(self, name: str, epoch: int, owner: str) -> None:
        self.tail.lost[name, epoch] = owner
        self.changed.set()

    def _check_open(self) -> None:
        if self._state != "open":
            raise StoreClosedError(
                f"the store {self.url} is {'not open yet' if self._state == 'new' else 'closed'}: "
                "use it inside 'async with EventStore.open(…) as store'"
            )

    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        self._check_open()
        try:
            return await self._in_thread(function, *args)
        except StorageError:
            # A connection that was closed meanwhile is no fault of the database.
            self._check_open()
            raise

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)


def _as_it_is(event: Event) -> Event:
    return event
