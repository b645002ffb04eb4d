"""Reading page after page for a subscription, and waiting at the head of the log."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, TypeVar

from eventstore.changes._poll_schedule import AFTER_OWN_READ
from eventstore.changes._poll_turn import TRUST
from eventstore.errors import StorageError
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore.changes.feed import ChangeFeed
    from eventstore.log.operations import Page, Query

log = logging.getLogger(__name__)
T = TypeVar("T")


class PageFollower:
    """Takes pages from what the subscriptions of a store share, or reads them from the log.

    With ``follow`` it retries while the database is unreachable; without, it raises StorageError.
    Every method raises StopAsyncIteration once :meth:`close` was called; so does a wait at the
    head at :attr:`give_up_at`.
    """

    def __init__(self, feed: ChangeFeed, *, follow: bool) -> None:
        self._feed = feed
        self._follow = follow
        self._wake_ups_seen = 0
        self._was_woken = False
        self._wake = feed.how.event()
        self._took_over = False
        self._closed = False
        self.give_up_at: float | None = None
        """When a wait without an event ends the iteration, on the monotonic clock."""

    def close(self) -> None:
        """End a wait of the task that is reading."""
        self._closed = True
        self._wake.set()

    async def next_page(self, query: Query, *, first: bool) -> Page:
        """Return what follows the query's cursor: the ``first`` page always from the log.

        Raises HistoryDivergedError, HistoryGoneError, UpcastError and StorageError.
        """
        feed, tail = self._feed, self._feed.tail
        # Counted before the read, so that a change after it ends the next wait at once. Kept only
        # after the read: a read that was cancelled has seen nothing, and a page from memory
        # was read earlier.
        wake_ups: int | None = feed.changed.count
        page = tail.take(query) if self._follow and not first else None
        if page is not None and page.through == query.expect:
            await self.retry(lambda: tail.refresh(woken=self._was_woken))
            page = tail.take(query)
        elif page is not None:
            wake_ups = None
        if page is None:
            requests = feed.changed.read_requests
            page = await self.retry(lambda: feed.pages.page(query))
            feed.consumers.record_lost(page.lost)
            if self._follow and tail.join(page, requests):
                await self.retry(lambda: tail.refresh(woken=True))
        if wake_ups is not None:
            self._wake_ups_seen = wake_ups
        return page

    async def retry(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, again and again while the database is unreachable."""
        backoff, recovered = Backoff(), self._feed.recovered
        while True:
            seen = recovered.count
            try:
                result = await read()
            except StorageError as error:
                if not error.transient or not self._follow or self._left() <= 0:
                    raise
                if backoff.failures == 0:
                    log.warning("%s; following goes on once it can be read again", error)
                await self._pause(seen, backoff.next())
            else:
                if backoff.failures:
                    recovered.set()
                    log.warning("the log can be read again; following goes on")
                return result

    async def _pause(self, seen: int, seconds: float) -> None:
        """Wait before a retry, unless another subscription has read successfully meanwhile."""
        self._wake = self._feed.how.event()
        await self._feed.recovered.wait(seen, seconds, self._wake)
        if self._closed:
            raise StopAsyncIteration

    async def wait(self, position: int) -> None:
        """Return once a subscription at ``position`` has a reason to read: a change or a poll."""
        turn = self._feed.poll_turn
        self._wake, self._took_over = self._feed.how.event(), False
        self._feed.waiting.set()
        turn.join(self, self._take_over)
        try:
            while not await self._has_reason(position):
                continue
        finally:
            turn.leave(self)

    async def _has_reason(self, position: int) -> bool:
        """Wait once; return whether there is a reason to read."""
        tail, changed = self._feed.tail, self._feed.changed
        self._was_woken = await changed.wait(
            self._wake_ups_seen, min(self._until_poll(), self._left()), self._wake
        )
        if self._closed or (not self._was_woken and self._left() <= 0):
            raise StopAsyncIteration
        seen = changed.count
        if self._took_over and seen == self._wake_ups_seen:
            # The one that had the turn may be reading now.
            self._wake = self._feed.how.event()
            return False
        if tail.needs_read(position):
            return True
        self._wake_ups_seen = seen
        return False

    def _until_poll(self) -> float:
        """Return the seconds until a poll that is this one's: the next one only in its turn."""
        if not self._feed.poll_turn.has(self):
            return TRUST * self._feed.poll
        remaining = self._feed.tail.schedule.remaining()
        if self._took_over:
            self._took_over = False
            return remaining or AFTER_OWN_READ[0] * self._feed.poll
        return remaining

    def _take_over(self) -> None:
        """Wake up for the next poll, as the one that has the turn now."""
        self._took_over = True
        self._wake.set()

    def _left(self) -> float:
        """Return the seconds until the iteration is given up."""
        if self.give_up_at is None:
            return math.inf
        return max(0.0, self.give_up_at - time.monotonic())
