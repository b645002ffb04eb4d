"""Following the log: ordered, without gaps, resumable, and woken early by notifiers."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import msgspec

from eventstore import limits
from eventstore.changes._ack_window import AckWindow
from eventstore.changes._handling import Handling
from eventstore.changes._page_follower import PageFollower
from eventstore.changes._shards import shard_page
from eventstore.changes.commits import Commits
from eventstore.changes.rejections import is_rejection, rejection_of
from eventstore.errors import DuplicateEventError, InvalidInputError, TakenOverError
from eventstore.log.events import END, OLDEST, Cursor, Event, Special
from eventstore.log.names import check_name
from eventstore.log.operations import Page, Query
from eventstore.log.validation import check_after, check_shard
from eventstore.system.contexts import AsyncContext

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from eventstore.changes.feed import ChangeFeed

log = logging.getLogger(__name__)


class Subscription(AsyncContext):
    """An async iterator over every matching event after a cursor.

    It never ends by itself, unless it was opened with ``follow=False``: then it ends at the head.

    Each event comes once, in order and without a gap, even where wake-ups are lost: notifiers
    only decide how early. A slow subscription keeps one slice of a page in memory (128 events,
    or one commit) and is never skipped ahead. It is for one task at a time; :meth:`aclose` may
    be called from any task of the event loop and ends a reader that is waiting.

    With a ``consumer`` name the log keeps the cursor as a checkpoint. Asking for the next event
    marks the one before as done; the checkpoint follows within 200 ms or 1,000 events, on
    ``ack(flush=True)`` and on ``aclose``. With ``explicit_ack`` an event is done once :meth:`ack`
    was called for it, in any order, and the checkpoint stays before the oldest that is not. After
    a crash the events since the checkpoint come
    again, so a consumer's effects should be idempotent. The newest opener of a name owns it;
    the earlier one gets TakenOverError, also where the consumer was rewound, and
    ConsumerRemovedError where it was removed.

    While the database is unreachable a subscription retries: it writes warnings to the program's
    log and goes on when it can. (With ``follow=False``, and on entering it with ``async with``,
    it raises StorageError.)

    Iterating raises HistoryDivergedError where the log is not the one that the cursor was
    made from, HistoryGoneError where the events were trimmed, and StoreClosedError when
    the store is closed.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        after: int | Cursor | Special,
        matching: Query,
        consumer: str | None,
        *,
        follow: bool,
        shard: tuple[int, int] | None,
        explicit_ack: bool = False,
        keep: object = None,
    ) -> None:
        self._after = check_after(after)
        self._query = matching
        self._shard = check_shard(shard)
        if consumer is not None:
            check_name("consumer", consumer, limits.MAX_CONSUMER_BYTES)
        elif explicit_ack:
            reason = "is for a named consumer: give consumer=…"
            raise InvalidInputError("explicit_ack", reason)
        self._feed = feed
        self._window = AckWindow() if explicit_ack else None
        self._handling = Handling(consumer) if consumer and not explicit_ack else None
        self._keep = keep  # The store: it is open for as long as this is in use.
        self._consumer = consumer
        self._follow = follow
        self._epoch = 0
        self._pages = PageFollower(feed, follow=follow)
        self._events: Sequence[Event] = ()
        self._index = 0
        self._page: Page | None = None
        self._cursor: Cursor | None = after if isinstance(after, Cursor) else None
        self._done: Cursor | None = None
        self._log_id = ""
        self._opened = False
        self._closed = False
        self._guard = anyio.ResourceGuard("reading from")

    @property
    def cursor(self) -> Cursor | None:
        """Where the subscription is: at the last event given out, or past it where none matches.

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
        """Whether every event up to the head, as last read, has been given out."""
        return (
            self._page is not None
            and self._index >= len(self._events)
            and self._page.through.position >= self._page.head.position
        )

    def __aiter__(self) -> Self:
        return self

    async def _enter(self) -> None:
        await self._open()

    async def _leave(self) -> None:
        await self.aclose()

    async def __anext__(self) -> Event:
        await self._fill(whole_commits=False)
        event = self._events[self._index]
        self._index += 1
        self._give(Cursor(self._log_id, event.position, event.hash))
        if self._handling is not None:
            self._handling.begin((event,))
        return event

    def _give(self, cursor: Cursor) -> None:
        self._cursor = cursor
        if self._window is not None:
            self._window.give(cursor)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._guard:
                yield
        except anyio.BusyResourceError as error:
            reason = "is being read by another task: give each task a subscription of its own"
            raise InvalidInputError("subscription", reason) from error

    async def _fill(self, *, whole_commits: bool) -> None:
        """Return once there is an event to give out; raise StopAsyncIteration once closed."""
        self._feed.log.guard.check()
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
        # Events that were read ahead one by one may stop in the middle of a commit.
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
        cursor = Cursor(self._log_id, commit, digest)
        self._give(cursor)
        if self._handling is not None:
            self._handling.begin(events)
        return cursor, events

    async def ack(self, one: Event | Cursor | None = None, *, flush: bool = False) -> None:
        """Mark the last event given out as done; with ``flush``, return once that is stored.

        With ``explicit_ack`` that is all events given out, or ``one`` of them alone: an event, or
        the cursor of a commit.

        Does nothing without a consumer name. A flush raises TakenOverError where the name
        has another owner. Raises InvalidInputError for ``one`` that was not given out, or without
        ``explicit_ack``.
        """
        self._feed.log.guard.check()
        if self._window is None:
            if one is not None:
                reason = "names one event: subscribe with explicit_ack=True"
                raise InvalidInputError("ack", reason)
        elif one is None:
            self._window.mark_all_done()
        else:
            self._window.mark_done(one)
        self._mark_done()
        if flush and self._done is not None:
            await self._store_done(self._done)

    async def reject(self, event: Event, reason: str) -> None:
        """Record in the log that this consumer cannot use ``event``, and why.

        Appends ``ChangeRejected`` to the stream ``consumer/NAME``, once per event even if it is
        called again. A rejection, its own or another consumer's, is not rejected in turn: that
        appends nothing, and writes a line to the program's log. Raises InvalidInputError without
        a consumer name, and for an event that this subscription has not come to.
        """
        if self._consumer is None:
            raise InvalidInputError("reject", "only a named consumer can: give consumer=…")
        if is_rejection(event):
            log.info("%r passes over the rejection at %d", self._consumer, event.position)
            return
        if event.position > self.position:
            what = f"reject the event at {event.position}"
            raise InvalidInputError(what, f"this subscription has come to {self.position} only")
        # The first reason stands: an event that comes again may fail with another one.
        with suppress(DuplicateEventError):
            await self._feed.append(rejection_of(event, self._consumer, reason))

    def give_up_at(self, when: float) -> None:
        """End the iteration where no event has come by then, on the monotonic clock."""
        self._pages.give_up_at = when

    async def aclose(self) -> None:
        """Store what was marked as done, and end; a reader that waits stops iterating."""
        self._feed.log.guard.check()
        if self._closed:
            return
        self._closed = True
        if self._handling is not None:
            self._handling.end()
        self._feed.following.discard(self)
        self._pages.close()
        try:
            if self._done is not None and not self._feed.log.closed:
                with self._feed.how.shield(), suppress(TakenOverError):
                    await self._store_done(self._done)
        finally:
            if self._consumer is not None and self._opened:
                self._feed.consumers.release(self._consumer, self._epoch)

    async def _store_done(self, done: Cursor) -> None:
        assert self._consumer is not None  # noqa: S101 - only a consumer has done anything
        await self._feed.consumers.store(self._consumer, self._epoch, done)

    def _mark_done(self) -> None:
        if self._handling is not None:
            self._handling.end()
        done = self._cursor if self._window is None else self._window.reached
        if self._consumer is None or not self._opened or done is None:
            return
        if self._done is None or self._done.position != done.position:
            self._done = done
            self._feed.consumers.note(self._consumer, self._epoch, done)

    async def _open(self) -> None:
        self._feed.log.guard.check()
        if self._opened:
            return
        # Listening comes before the first read, or a change in between would wait for a poll.
        self._feed.listen()
        if self._consumer is None:
            start = await self._resolve()
        else:
            state = await self._feed.consumers.open(self._consumer, self._resolve)
            self._epoch, start = state.epoch, state.cursor
            self._query = msgspec.structs.replace(
                self._query, consumers=((self._consumer, self._epoch),)
            )
        self._cursor, self._log_id = start, start.log_id
        self._opened = True
        self._feed.following.add(self)

    async def _resolve(self) -> Cursor:
        """Return the cursor of the position after which the subscription was asked to begin."""
        after = self._after
        if isinstance(after, Cursor):
            return after
        if after is END:
            return (await self._feed.log.head()).cursor
        at = after if isinstance(after, int) else 0
        query = Query(after=at, until=at, kept=self._query.kept, oldest=after is OLDEST)
        return (await self._feed.page(query)).through

    async def _advance(self, *, whole_commits: bool) -> None:
        """Read another page, after waiting where the log has no more."""
        if self._closed:
            raise StopAsyncIteration
        await self._pages.retry(self._open)
        if self._page is not None and self._page.through.position > self.position:
            self._move_to(self._page.through)
        if self.caught_up:
            if not self._follow:
                raise StopAsyncIteration
            await self._pages.wait(self.position)
        cursor = self._cursor
        assert cursor is not None  # noqa: S101 - set by _open
        query = msgspec.structs.replace(
            self._query,
            after=cursor.position,
            expect=cursor,
            whole_commits=whole_commits,
            oldest=False,
        )
        page = await self._pages.next_page(query, first=self._page is None)
        if self._consumer is not None:
            self._feed.consumers.check(self._consumer, self._epoch)
        self._page = page if self._shard is None else shard_page(page, *self._shard)
        self._events, self._index = self._page.events, 0
        if not self._page.events:
            self._move_to(self._page.through)

    def _move_to(self, cursor: Cursor) -> None:
        """Pass over events that do not match, so that the checkpoint advances all the same."""
        self._cursor = cursor
        if self._window is not None:
            self._window.pass_over(cursor)
        self._mark_done()
