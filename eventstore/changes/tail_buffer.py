"""One reader of the log's end for all followers of a store.

Followers that have caught up all want the same next events. The tail reads them once, keeps
the newest in a bounded window, and gives each follower its part from memory. A follower that
is not within the window reads for itself until it is. Whether an event is taken from here or
from the log makes no difference: the window begins and ends at commits, and a follower
takes from it only where its cursor, hash included, is the window's own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from eventstore.errors import EventStoreError, StorageError
from eventstore.log.events import Cursor
from eventstore.log.operations import CommitBatch, Head, Page, Query

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventstore.changes.poll_schedule import PollSchedule
    from eventstore.log.events import Event
    from eventstore.system.event_loop import Signal

WINDOW_EVENTS: Final = 8_192
WINDOW_BYTES: Final = 16 * 1024 * 1024
"""What the window keeps at the most, or one commit where that is larger."""

SLICE_EVENTS: Final = 128
"""Events handed to a follower at once: what one that stands still keeps alive."""

READ_EVENTS: Final = 1024

EARLY: Final = 64
EARLY_SECONDS: Final = 0.01
"""How many commits that came before their turn are kept, and how long they may wait for it
until the log is read instead."""

FREE_LOOKS: Final = 3
DOUBT_SECONDS: Final = 0.005
MOST_DOUBT_SECONDS: Final = 0.05
"""How many looks in a row may find nothing, how long the next one then waits at the least,
twice as long each time, and how long at the most."""


class TailBuffer:
    """The newest events of a log, read once for all; see the module.

    ``read`` reads a page, ``changed`` wakes the followers and counts the reasons to look,
    ``pace`` says when to look without one, and ``confirm`` is called with the log's position
    after such a look. ``lift`` is what pages have been through when they come from ``read``.
    Everything here runs in the store's event loop.
    """

    def __init__(
        self,
        read: Callable[[Query], Awaitable[Page]],
        changed: Signal,
        pace: PollSchedule,
        confirm: Callable[[int], None],
        lift: Callable[[Event], Event] | None = None,
    ) -> None:
        self._read = read
        self._changed = changed
        self._confirm = confirm
        self._lift = lift
        self.pace = pace
        self._early: dict[int, CommitBatch] = {}
        self._lock = anyio.Lock()
        self._start: Cursor | None = None
        self._head: Head | None = None
        self._events: list[Event] = []
        self._size = 0
        self._read_at = -1
        self._hurry = anyio.Event()
        self._not_before = 0.0
        self.fruitless = 0
        """How many looks in a row were for nothing, though somebody had given a reason."""
        self.unused = 0
        """How often what a notifier vouched for did not follow what was known."""
        self.reads = 0
        """How often the log was looked at."""
        self.consumers: dict[str, int] = {}
        """Named consumers of this store, with the epoch under which each owns its name."""
        self.lost: dict[tuple[str, int], str] = {}
        """Those that somebody else has opened since, and who that was."""

    @property
    def position(self) -> int:
        """The position up to which the window has the log; -1 before anything was read."""
        return self._head.position if self._head is not None else -1

    def join(self, page: Page, looks: int) -> bool:
        """Begin the window where a follower has caught up, unless it is there already.

        ``looks`` is how many reasons to look there were before the page was read. Return
        whether the window is there, and ends before what this follower has seen: one more reason.
        """
        if page.through.position < page.head.position or page.head.position < self.position:
            return False
        behind = page.head.position - self.position > WINDOW_EVENTS
        if self._start is None or behind or page.head.log_id != self._start.log_id:
            self._begin(page.head)
            self.pace.looked()
        if page.head.position > self.position:
            self._changed.set()
            return True
        self._read_at = max(self._read_at, looks)
        return False

    def must_read(self, position: int) -> bool:
        """Whether a follower that is at this position has a reason to look, here or in the log."""
        pending = self._read_at < self._changed.looks
        return pending or self.position != position or not self.pace.rest()

    def take(self, query: Query) -> Page | None:
        """Return a part of the window after the query's cursor; ``None`` if that is not in it."""
        cursor, start, head = query.expect, self._start, self._head
        if cursor is None or start is None or head is None or not self._holds(cursor):
            return None
        first = cursor.position - start.position
        some = self._events[first : first + SLICE_EVENTS]
        if query.whole_commits and some:
            end = some[-1].commit - start.position
            some += self._events[first + len(some) : end]
        matching = [event for event in some if _matches(event, query)]
        through = Cursor(head.log_id, some[-1].position, some[-1].hash) if some else cursor
        ends = {event.position: event.hash for event in some if event.position == event.commit}
        return Page(matching, through, head, ends=ends if query.whole_commits else {})

    def offer(self, batch: CommitBatch) -> bool:
        """Take in what a notifier vouches for; return whether the window grew.

        Only what follows the window's own end, hash included, can be used. What comes early
        is kept for a moment: several processes that commit in turn may publish out of turn.
        """
        if self._head is None or batch.previous.log_id != self._head.log_id:
            return False
        if batch.previous.position > self._head.position:
            if len(self._early) < EARLY:
                self._early[batch.previous.position] = batch
            return False
        grew = False
        following: CommitBatch | None = batch
        while following is not None and following.previous == self._head.cursor:
            if not self._append(following):
                break
            grew = True
            following = self._early.pop(self._head.position, None)
        if grew:
            self.pace.heard()
            self.trust()
        elif batch.position > self._head.position:
            self.unused += 1
        return grew

    def trust(self) -> None:
        """End all doubt: there is a reason to look that nobody can have made up."""
        self.fruitless, self._not_before = 0, 0.0
        self._hurry.set()

    def hear(self, position: int, digest: bytes | None = None) -> bool:
        """Hear how far the log is; return whether that is a reason to look.

        It is where the log has gone further than the window, or is another one: ``digest`` is
        the chain's hash at ``position``, where that was told too.
        """
        if position == self.position and self._head is not None:
            if digest is not None and digest != self._head.hash:
                return True
            self.pace.heard()
        return position > self.position

    def _append(self, batch: CommitBatch) -> bool:
        assert self._head is not None  # noqa: S101 - offer has looked
        try:
            events = [self._lift(e) for e in batch.events] if self._lift else batch.events
        except EventStoreError:
            return False
        last = batch.events[-1]
        head = msgspec.structs.replace(
            self._head, position=last.position, recorded_us=last.recorded_us, hash=last.hash
        )
        self._extend(events, head, head.cursor)
        return True

    async def refresh(self, *, woken: bool) -> None:
        """Look for what came after the window; one look for all who ask at the same time.

        Who was ``woken`` needs a look that began after the last reason for one; whose time
        was up needs one unless somebody has looked since.
        """
        async with self._lock:
            if self._early and await self._grows_by_itself():
                return
            if woken and self._read_at < self._changed.looks and await self._doubts():
                return
            count = self._changed.looks
            served = self._read_at >= count and (woken or self.pace.rest() > 0)
            if self._head is None or served:
                return
            # What is still early after the look is of no history that the log has.
            self._early.clear()
            before = self._head.position
            try:
                page = await self._read(self._next_query())
            except StorageError:
                raise
            except EventStoreError:
                # Another history, or an event that cannot be read: each follower reads for
                # itself, and is told.
                self.reset()
                return
            self._read_at, self.reads = count, self.reads + 1
            silent = self.pace.looked()
            self._take_in(page)
            self._judge(fruitless=woken and self.position == before)
            if not woken:
                if self.position != before:
                    # The others sleep, and what they hear of it later will be no news.
                    self._changed.set(told=True)
                if silent:
                    self._confirm(self.position)

    def _take_in(self, page: Page) -> None:
        self.lost.update(page.lost)
        self._continue(page)
        self._early = {at: one for at, one in self._early.items() if at > self.position}
        if page.through.position < page.head.position:
            self._changed.set()

    def _judge(self, fruitless: bool) -> None:
        """Begin to doubt where reasons to look turn out to be none, as forged ones do."""
        self.fruitless = self.fruitless + 1 if fruitless else 0
        seconds = DOUBT_SECONDS * 2 ** min(max(0, self.fruitless - FREE_LOOKS), 10)
        doubted = self.fruitless >= FREE_LOOKS
        self._not_before = time.monotonic() + min(seconds, MOST_DOUBT_SECONDS) if doubted else 0.0

    async def _doubts(self) -> bool:
        """Wait until another look is due; return whether the window grew meanwhile.

        Whoever may send hints could else have the log looked at without an end.
        """
        seconds = self._not_before - time.monotonic()
        if seconds <= 0:
            return False
        before = self.position
        self._hurry = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._hurry.wait()
        return self.position > before

    def _continue(self, page: Page) -> None:
        """Take in what was read, less what was offered while it was being read."""
        assert self._head is not None  # noqa: S101 - refresh has looked
        known = sum(event.position <= self._head.position for event in page.events)
        at = page.events[known - 1] if known else None
        if at is not None and at.position == self._head.position and at.hash != self._head.hash:
            self.reset()
        elif page.through.position > self._head.position:
            self._extend(page.events[known:], page.head, page.through)

    async def _grows_by_itself(self) -> bool:
        """Wait a moment for the commit before those that came early."""
        before = self.position
        await anyio.sleep(EARLY_SECONDS)
        return self.position > before

    def reset(self) -> None:
        """Forget the window: every follower reads for itself until it has caught up."""
        self._start, self._head = None, None
        self._events, self._size = [], 0
        self._early.clear()
        self._changed.set(told=True)

    def _next_query(self) -> Query:
        assert self._head is not None  # noqa: S101 - refresh has looked
        end = self._head.cursor
        return Query(
            after=end.position,
            expect=end,
            whole_commits=True,
            limit=READ_EVENTS,
            consumers=tuple(self.consumers.items()),
        )

    def _begin(self, head: Head) -> None:
        self._start, self._head = head.cursor, head
        self._events, self._size = [], 0

    def _holds(self, cursor: Cursor) -> bool:
        assert self._start is not None  # noqa: S101 - take has looked
        index = cursor.position - self._start.position
        if cursor.log_id != self._start.log_id or not 0 <= index <= len(self._events):
            return False
        return cursor.hash == (self._events[index - 1].hash if index else self._start.hash)

    def _extend(self, events: Sequence[Event], head: Head, through: Cursor) -> None:
        assert self._head is not None  # noqa: S101 - refresh has looked
        self._events += events
        self._size += sum(map(_size, events))
        self._head = Head(
            head.log_id, head.first_position, through.position, head.recorded_us, through.hash
        )
        self._shrink()

    def _shrink(self) -> None:
        """Drop whole commits from the front until the window is within its bounds."""
        drop = size = 0
        while len(self._events) - drop > WINDOW_EVENTS or self._size - size > WINDOW_BYTES:
            commit = self._events[drop].commit
            while drop < len(self._events) and self._events[drop].commit == commit:
                size += _size(self._events[drop])
                drop += 1
        if drop:
            last = self._events[drop - 1]
            assert self._start is not None  # noqa: S101 - there are events
            self._start = Cursor(self._start.log_id, last.position, last.hash)
            self._size -= size
            del self._events[:drop]


def _size(event: Event) -> int:
    return len(event.raw_data or b"") + len(event.raw_metadata or b"")


def _matches(event: Event, query: Query) -> bool:
    if query.types is not None and event.type not in query.types:
        return False
    if query.streams is None:
        return True
    if query.streams.endswith("/"):
        return event.stream.startswith(query.streams)
    return event.stream == query.streams
