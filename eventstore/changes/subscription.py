"""Following the log: ordered, gap-free, resumable, and woken early where that works."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar
from zlib import crc32

import anyio
import msgspec

from eventstore import limits
from eventstore.errors import DuplicateEventError, InvalidInputError, StorageError, TakenOverError
from eventstore.log.events import END, Cursor, Event, NewEvent, Special
from eventstore.log.names import check_name
from eventstore.log.operations import Acknowledge, Page, Query
from eventstore.system.backoff import Backoff
from eventstore.system.event_loop import wait_future

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from eventstore.store.event_store import EventStore

log = logging.getLogger(__name__)
T = TypeVar("T")

CHANGE_REJECTED: Final = "ChangeRejected"


class Subscription:
    """An async iterator over every matching event after a cursor.

    It never ends by itself, unless it was asked with ``follow=False`` to end at the head.

    Events come once, in order and without a gap, whatever happens to notifiers: those
    only decide how early. A slow follower costs a slice of a page (128 events, or one commit) in
    memory and is never skipped ahead. For one task at a time; :meth:`aclose` may be called
    from any task of the loop and ends a reader that is waiting.

    With a ``consumer`` name the log keeps the cursor. Asking for the next event marks the
    one before as done; the stored cursor follows within 200 ms or 1,000 events, on
    ``ack(flush=True)`` and on ``aclose``. After a crash the events since then come again,
    so a consumer's effects should bear repetition. The newest opener of a name owns it;
    the earlier one gets TakenOverError.

    A database that cannot be reached for a while ends nothing: the subscription says so in
    the program's log and goes on when it can. (With ``follow=False``, and on entering it with
    ``async with``, it is a StorageError.)

    Iterating raises HistoryDivergedError where the log is not the one that the cursor was
    made from, HistoryGoneError where the events were trimmed, and StoreClosedError when
    the store is closed.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        after: int | Cursor | Special,
        streams: str | None,
        types: tuple[str, ...] | None,
        consumer: str | None,
        follow: bool,
        shard: tuple[int, int] | None = None,
        kept: bool = False,
    ) -> None:
        if consumer is not None:
            check_name("consumer", consumer, limits.MAX_CONSUMER_BYTES)
        self._store = store
        self._after = after
        self._consumer = consumer
        self._follow = follow
        self._shard = shard
        self._epoch = 0
        self._query = Query(streams=streams, types=types, kept=kept)
        self._events: Sequence[Event] = ()
        self._index = 0
        self._page: Page | None = None
        self._cursor: Cursor | None = after if isinstance(after, Cursor) else None
        self._done: Cursor | None = None
        self._log_id = ""
        self._seen = 0
        self._was_woken = False
        self._opened = False
        self._closed = False
        self._woken = anyio.Event()
        self._guard = anyio.ResourceGuard("reading from")

    @property
    def cursor(self) -> Cursor | None:
        """Where the follower is: at the last event it was given, or searched past it.

        ``None`` until the first event is asked for, unless it started from a Cursor.
        """
        return self._cursor

    @property
    def position(self) -> int:
        """The position of :attr:`cursor`."""
        if self._cursor is not None:
            return self._cursor.position
        return self._after if isinstance(self._after, int) else 0

    @property
    def caught_up(self) -> bool:
        """Whether every event up to the head, as last seen, has been given out."""
        return (
            self._page is not None
            and self._index >= len(self._events)
            and self._page.through.position >= self._page.head.position
        )

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Event:
        await self._fill(whole_commits=False)
        event = self._events[self._index]
        self._index += 1
        self._cursor = Cursor(self._log_id, event.position, event.hash)
        return event

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._guard:
                yield
        except anyio.BusyResourceError as error:
            reason = "is being read by another task: give each task a subscription of its own"
            raise InvalidInputError("subscription", reason) from error

    async def _fill(self, *, whole_commits: bool) -> None:
        """Return once there is an event to give out; StopAsyncIteration once closed."""
        if self._closed:
            raise StopAsyncIteration
        self._mark_done()
        if self._index < len(self._events):
            return
        with self._reading():
            while self._index >= len(self._events):
                await self._advance(whole_commits=whole_commits)
        if self._closed:
            raise StopAsyncIteration

    def commits(self) -> Commits:
        """Iterate over ``(cursor, events)`` of whole commits instead of single events.

        A commit of which no event matches is passed over.
        """
        # What was read ahead as single events may stop in the middle of a commit.
        self._events, self._index, self._page = (), 0, None
        return Commits(self._next_commit)

    async def _next_commit(self) -> tuple[Cursor, list[Event]]:
        await self._fill(whole_commits=True)
        assert self._page is not None  # noqa: S101 - _advance has set it
        start, commit = self._index, self._events[self._index].commit
        while self._index < len(self._events) and self._events[self._index].commit == commit:
            self._index += 1
        events = list(self._events[start : self._index])
        last = events[-1]
        digest = last.hash if last.position == commit else self._page.ends[commit]
        self._cursor = Cursor(self._log_id, commit, digest)
        return self._cursor, events

    async def ack(self, *, flush: bool = False) -> None:
        """Mark the last event given out as done; with ``flush``, return once that is stored.

        Does nothing without a consumer name. A flush raises TakenOverError where the name
        was lost.
        """
        self._mark_done()
        if flush and self._done is not None:
            await self._store_done(self._done)

    async def reject(self, event: Event, reason: str) -> None:
        """Record that this consumer cannot use an event, for operators to see.

        Appends ``ChangeRejected`` to the stream ``consumer/NAME``, once per event however
        often it is called. Raises InvalidInputError without a consumer name.
        """
        if self._consumer is None:
            raise InvalidInputError("reject", "only a named consumer can: give consumer=…")
        rejection = NewEvent(
            CHANGE_REJECTED,
            {
                "consumer": self._consumer,
                "position": event.position,
                "stream": event.stream,
                "reason": reason,
            },
            id=f"rejected:{event.position}:{sha256(self._consumer.encode()).hexdigest()}",
        )
        stream = rejection_stream(self._consumer)
        # The first reason stands: an event that comes again may fail with another one.
        with suppress(DuplicateEventError):
            await self._store.append(stream, [rejection])

    async def aclose(self) -> None:
        """Store what was marked as done, and end; a reader that waits stops iterating."""
        if self._closed:
            return
        self._closed = True
        self._woken.set()
        if self._done is not None and not self._store.closed:
            with anyio.CancelScope(shield=True), suppress(TakenOverError):
                try:
                    await self._store_done(self._done)
                finally:
                    self._release()
        else:
            self._release()

    def _release(self) -> None:
        if self._consumer is not None and self._opened:
            self._store.release_consumer(self._consumer, self._epoch)

    async def _store_done(self, done: Cursor) -> None:
        assert self._consumer is not None  # noqa: S101 - only a consumer has done anything
        writer = self._store.writer
        writer.forget(self._consumer, self._epoch)
        await wait_future(writer.submit(Acknowledge(self._consumer, self._epoch, done)))

    def _mark_done(self) -> None:
        if self._consumer is None or not self._opened or self._cursor is None:
            return
        if self._done is None or self._done.position != self._cursor.position:
            self._done = self._cursor
            self._store.writer.note(self._consumer, self._epoch, self._cursor)

    async def _open(self) -> None:
        if self._opened:
            return
        # Listening comes before the first read, or a change in between would wait a poll.
        self._store.watch()
        start = await self._start()
        if self._consumer is not None:
            state = await self._store.open_consumer(self._consumer, start)
            self._epoch, start = state.epoch, state.cursor
            self._query = msgspec.structs.replace(
                self._query, consumers=((self._consumer, self._epoch),)
            )
        self._cursor, self._log_id = start, start.log_id
        self._opened = True

    async def _start(self) -> Cursor:
        # A name that is known has its own cursor; where new ones begin may be gone by now.
        for state in await self._store.consumers() if self._consumer is not None else ():
            if state.name == self._consumer:
                return state.cursor
        return await self._resolve(self._after)

    async def _resolve(self, after: int | Cursor | Special) -> Cursor:
        if isinstance(after, Cursor):
            return after
        if after is END:
            return (await self._store.head()).cursor
        assert isinstance(after, int)  # noqa: S101 - END is the only Special that gets here
        page = await self._store.page(Query(after=after, until=after, kept=self._query.kept))
        return page.through

    async def _advance(self, *, whole_commits: bool) -> None:
        """Read another page, waiting first where the log has no more."""
        if self._closed:
            raise StopAsyncIteration
        await self._outlive(self._open)
        if self._page is not None and self._page.through.position > self.position:
            self._move_to(self._page.through)
        if self.caught_up:
            if not self._follow:
                raise StopAsyncIteration
            await self._wait()
        cursor = self._cursor
        assert cursor is not None  # noqa: S101 - set by _open
        page = await self._next_page(
            msgspec.structs.replace(
                self._query, after=cursor.position, expect=cursor, whole_commits=whole_commits
            )
        )
        self._page = page
        self._events, self._index = page.events, 0
        if not page.events:
            self._move_to(page.through)

    async def _next_page(self, query: Query) -> Page:
        """Return what follows: from what the store's followers share, or read for oneself."""
        tail = self._store.tail
        # Counted before looking, so that a change after the look ends the next wait at once,
        # and kept only once the look is done: one that was cancelled has seen nothing, and
        # what is taken from memory was looked up before.
        seen: int | None = self._store.changed.count
        page = tail.take(query) if self._follow and self._page is not None else None
        if page is not None and page.through == query.expect:
            await self._outlive(lambda: tail.refresh(woken=self._was_woken))
            page = tail.take(query)
        elif page is not None:
            seen = None
        if page is None:
            looks = self._store.changed.looks
            page = await self._outlive(lambda: self._store.shelf.page(query))
            tail.lost.update(page.lost)
            if self._follow and tail.join(page, looks):
                await self._outlive(lambda: tail.refresh(woken=True))
        if seen is not None:
            self._seen = seen
        self._check_owner()
        return page if self._shard is None else _part(page, *self._shard)

    def _check_owner(self) -> None:
        if self._consumer is not None:
            owner = self._store.tail.lost.get((self._consumer, self._epoch))
            if owner is not None:
                raise TakenOverError(self._consumer, owner)

    async def _outlive(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, however long the database cannot be reached."""
        backoff, readable = Backoff(), self._store.readable
        while True:
            seen = readable.count
            try:
                result = await read()
            except StorageError as error:
                if not error.transient or not self._follow:
                    raise
                if backoff.failures == 0:
                    log.warning("%s; following goes on once it can be read again", error)
                await self._pause(seen, backoff.next())
            else:
                if backoff.failures:
                    readable.set()
                    log.warning("the log can be read again; following goes on")
                return result

    async def _pause(self, seen: int, seconds: float) -> None:
        """Wait before trying again, unless another follower finds that it works."""
        self._woken = anyio.Event()
        await self._store.readable.wait(seen, seconds, self._woken)
        if self._closed:
            raise StopAsyncIteration

    def _move_to(self, cursor: Cursor) -> None:
        """Pass over what does not match, so that a quiet follower still advances."""
        self._cursor = cursor
        self._mark_done()

    async def _wait(self) -> None:
        """Return once there is a reason to look."""
        tail, changed = self._store.tail, self._store.changed
        self._woken = anyio.Event()
        while True:
            self._was_woken = await changed.wait(self._seen, tail.pace.rest(), self._woken)
            if self._closed:
                raise StopAsyncIteration
            seen = changed.count
            if tail.must_read(self.position):
                return
            self._seen = seen


def rejection_stream(consumer: str) -> str:
    """Return the stream of what a consumer rejected: one event, and one version, for each."""
    name = consumer.rstrip("/") or sha256(consumer.encode()).hexdigest()
    return f"consumer/{name}"


def _part(page: Page, index: int, count: int) -> Page:
    """Return what of a page belongs to one of ``count`` parts, by the streams' CRC-32."""
    mine = [event for event in page.events if crc32(event.stream.encode()) % count == index]
    # A commit whose last event is another's needs a cursor all the same.
    ends = {event.position: event.hash for event in page.events if event.position == event.commit}
    return msgspec.structs.replace(page, events=mine, ends={**page.ends, **ends})


class Commits:
    """An async iterator over ``(cursor, events)``, one item per commit; see Subscription."""

    def __init__(self, take: Callable[[], Awaitable[tuple[Cursor, list[Event]]]]) -> None:
        self._take = take

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Cursor, list[Event]]:
        return await self._take()
