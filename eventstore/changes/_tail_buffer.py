"""One reader of the log's end for all subscriptions of a store.

Subscriptions that have caught up all need the same next events. The tail buffer reads them once,
keeps the newest in a window, and gives each subscription its part from memory. One whose
cursor is outside the window reads the log for itself until it has caught up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.changes._event_window import WINDOW_EVENTS, EventWindow
from eventstore.changes._wake_up_back_off import WakeUpBackOff
from eventstore.errors import EventStoreError, StorageError
from eventstore.log.operations import CommitBatch, Page, Query
from eventstore.system.event_loop import Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore.changes._consumers import ConsumerOwnership
    from eventstore.changes._poll_schedule import PollSchedule
    from eventstore.log.events import Event
    from eventstore.log.operations import Head
    from eventstore.system.waiting import Waiting

READ_EVENTS: Final = 1024
"""Events read at once at the most."""

MAX_OUT_OF_ORDER: Final = 64
OUT_OF_ORDER_SECONDS: Final = 0.01
"""Commit batches that are kept although the one before them is missing, and how long a read of
the log waits for that one: processes that commit in turn may publish out of turn."""


class TailBuffer:
    """The newest events of a log, read once for all subscriptions; see the module.

    ``read`` reads a page. ``changed`` wakes the subscriptions and counts the requests to read.
    ``schedule`` says when to poll, and ``confirm`` is called with the log's position after a
    poll, to send a heartbeat. ``consumers`` are checked with each read. ``lift`` upcasts events
    that a notifier brings; pages come from ``read`` upcast. Everything here runs in the store's
    event loop.
    """

    def __init__(
        self,
        read: Callable[[Query], Awaitable[Page]],
        changed: Signal,
        schedule: PollSchedule,
        consumers: ConsumerOwnership,
        confirm: Callable[[int], None],
        lift: Callable[[Event], Event],
        waiting: Waiting,
    ) -> None:
        self._read = read
        self._waiting = waiting
        self._changed = changed
        self._consumers = consumers
        self._confirm = confirm
        self._lift = lift
        self.schedule = schedule
        self.back_off = WakeUpBackOff(waiting)
        self.window = EventWindow()
        self._out_of_order: dict[int, CommitBatch] = {}
        self._lock = waiting.lock()
        self._requests_served = -1
        self.unused_batches = 0
        """How many commit batches from a notifier did not follow the window's end."""
        self.reads = 0
        """How often the head of the log was read."""
        self.read_done = Signal(waiting)
        """Set after each of these reads."""

    @property
    def position(self) -> int:
        """The position up to which the window has the log; -1 before the first read."""
        return self.window.position

    def take(self, query: Query) -> Page | None:
        """Return a slice after the query's cursor; ``None`` where that is not in the window."""
        return self.window.take(query)

    def join(self, page: Page, requests: int) -> bool:
        """Begin the window at the head that a subscription has reached, unless it is there.

        ``requests`` is the count of requests to read before the page was read. Return whether the
        window ends before the page's head and has to be read on.
        """
        head = page.head
        if page.through.position < head.position or head.position < self.position:
            return False
        start = self.window.start
        behind = head.position - self.position > WINDOW_EVENTS
        if start is None or behind or head.log_id != start.log_id:
            self.window.begin(head)
            self.schedule.log_read()
        if head.position > self.position:
            self._changed.set()
            return True
        self._requests_served = max(self._requests_served, requests)
        return False

    def needs_read(self, position: int) -> bool:
        """Whether a subscription at ``position`` has to read on, in the window or in the log."""
        requested = self._requests_served < self._changed.read_requests
        return requested or self.position != position or not self.schedule.remaining()

    def add(self, batch: CommitBatch) -> bool:
        """Add what a notifier brings, signed; return whether the window grew.

        Only a batch that follows the window's end, hash included, can be used. One from further
        ahead is kept for a moment.
        """
        head = self.window.head
        if head is None or batch.previous.log_id != head.log_id:
            return False
        if batch.previous.position > head.position:
            if len(self._out_of_order) < MAX_OUT_OF_ORDER:
                self._out_of_order[batch.previous.position] = batch
            return False
        if self._append_following(batch):
            self.schedule.heartbeat()
            self.back_off.end()
            return True
        if batch.position > head.position:
            self.unused_batches += 1
        return False

    def add_own(self, batch: CommitBatch) -> bool:
        """Add what this process has appended, if it follows the window's end; return whether so.

        The next poll stays due: it also finds out who has taken over a consumer.
        """
        head = self.window.head
        if head is None or batch.previous != head.cursor or not self._append(batch, head):
            return False
        self.back_off.end()
        return True

    def _append_following(self, batch: CommitBatch) -> bool:
        """Append a batch and those kept out of order that follow it; return whether any did."""
        grew = False
        following: CommitBatch | None = batch
        while following is not None:
            head = self.window.head
            if head is None or following.previous != head.cursor:
                break
            if not self._append(following, head):
                break
            grew = True
            following = self._out_of_order.pop(self.position, None)
        return grew

    def _append(self, batch: CommitBatch, head: Head) -> bool:
        try:
            events = [self._lift(event) for event in batch.events]
        except EventStoreError:
            return False
        last = batch.events[-1]
        head = msgspec.structs.replace(
            head, position=last.position, recorded_us=last.recorded_us, hash=last.hash
        )
        self.window.extend(events, head, head.cursor)
        return True

    def compare(self, position: int, digest: bytes | None = None) -> bool:
        """Compare the window with a peer's position; return whether the log has to be read.

        It has to where the log has grown, or is another one: ``digest`` is the chain's hash at
        ``position`` where the peer sent it. An equal position is a heartbeat.
        """
        head = self.window.head
        if head is not None and position == head.position:
            if digest is not None and digest != head.hash:
                return True
            self.schedule.heartbeat()
        return position > self.position

    async def refresh(self, *, woken: bool) -> None:
        """Read what came after the window: one read for all that ask at the same time.

        With ``woken`` the read has to begin after the last request for one. Without, the
        subscription's poll was due, and a read since by another one serves.
        """
        async with self._lock:
            if self._out_of_order and await self._grows_meanwhile():
                return
            requested = self._requests_served < self._changed.read_requests
            if woken and requested and await self._backs_off():
                return
            requests = self._changed.read_requests
            served = self._requests_served >= requests
            query = self.next_query()
            if query is None or (served and (woken or self.schedule.remaining() > 0)):
                return
            # A batch that is still out of order after this read is of no history that the log has.
            self._out_of_order.clear()
            try:
                page = await self._read(query)
            except StorageError:
                raise
            except EventStoreError:
                # Another history, or an event that cannot be read: each subscription reads for
                # itself and raises the error.
                self.reset()
                return
            self._requests_served, self.reads = requests, self.reads + 1
            self._after_read(page, before=query.after, woken=woken)
            self.read_done.set()

    def add_page(self, page: Page) -> bool:
        """Add what was read after a wake-up, from the window's end or before it.

        Return whether the window grew.
        """
        before, self.reads = self.position, self.reads + 1
        self._after_read(page, before=before, woken=True)
        self.read_done.set()
        return self.position != before

    def _after_read(self, page: Page, *, before: int, woken: bool) -> None:
        send_heartbeat = self.schedule.log_read()
        self._consumers.record_lost(page.lost)
        self._continue(page)
        self._out_of_order = {at: b for at, b in self._out_of_order.items() if at > self.position}
        if page.through.position < page.head.position:
            self._changed.set()
        grew = self.position != before
        self.back_off.record(false=woken and not grew)
        if woken:
            return
        if grew:
            # The other subscriptions sleep, and a wake-up for this position would not wake them.
            self._changed.set(read=False)
        if send_heartbeat:
            self._confirm(self.position)

    def _continue(self, page: Page) -> None:
        """Extend the window by a page, less what a notifier brought while it was being read."""
        head = self.window.head
        if head is None:
            return  # The window was reset during the read, and this page may be of what was before.
        known = sum(event.position <= head.position for event in page.events)
        at = page.events[known - 1] if known else None
        if at is not None and at.position == head.position and at.hash != head.hash:
            self.reset()
        elif page.through.position > head.position:
            self.window.extend(page.events[known:], page.head, page.through)

    async def _backs_off(self) -> bool:
        """Wait where wake-ups were false; return whether the window grew meanwhile."""
        before = self.position
        await self.back_off.wait()
        return self.position > before

    async def _grows_meanwhile(self) -> bool:
        """Wait for the batch before those that came out of order; return whether it came."""
        before = self.position
        await self._waiting.sleep(OUT_OF_ORDER_SECONDS)
        return self.position > before

    def reset(self) -> None:
        """Forget the window: every subscription reads for itself until it has caught up."""
        self.window.clear()
        self._out_of_order.clear()
        self._changed.set(read=False)

    def next_query(self) -> Query | None:
        """Return the query for what follows the window, if there is one; from any thread."""
        head = self.window.head
        if head is None:
            return None
        return Query(
            after=head.position,
            expect=head.cursor,
            whole_commits=True,
            limit=READ_EVENTS,
            consumers=self._consumers.owned,
        )
