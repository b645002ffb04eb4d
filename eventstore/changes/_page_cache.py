"""A cache of pages for subscriptions that are behind, given out in slices.

Reading many events at once is fast, but a subscription that stands still should not keep them
all in memory. So a subscription is given a slice, and the rest of the page stays in a cache
that all subscriptions of a store share. The cache is small and drops the oldest page first; a
subscription whose slice was dropped reads again. Subscriptions that catch up side by side find
the pages that the first of them has read.

Only slices that end before the head are cached. The end of the log is read anew each time,
because a cached end would hide a later change.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.changes._event_window import SLICE_EVENTS
from eventstore.log.events import Cursor
from eventstore.system.event_loop import LoopWaiting

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from eventstore.log.operations import Page, Query
    from eventstore.system.waiting import WaitEvent, Waiting

PAGE_EVENTS: Final = 1024
"""Events read at once at the most."""

CACHED_PAGES: Final = 8
"""Pages in the cache at the most; each has bounds of its own, in events and in bytes."""

MAX_AGE_SECONDS: Final = 10.0
"""How long a slice may be given out: it lacks redactions and restores since it was read."""


class _CachedPage:
    """The slices of one page by their keys, and how many of them were used."""

    def __init__(self, read_at: float) -> None:
        self.read_at = read_at
        self.slices: dict[Query, Page] = {}
        self.used = 0


class PageCache:
    """Reads pages by ``read`` and gives them out as slices; see the module.

    ``clock`` gives seconds. Everything here runs in the store's event loop.
    """

    def __init__(
        self,
        read: Callable[[Query], Awaitable[Page]],
        clock: Callable[[], float] = time.monotonic,
        waiting: Waiting | None = None,
    ) -> None:
        self._waiting = waiting or LoopWaiting()
        self._read = read
        self._clock = clock
        self._pages: deque[_CachedPage] = deque()
        self._slices: dict[Query, _CachedPage] = {}
        self._reading: dict[Query, WaitEvent] = {}
        self._limit = PAGE_EVENTS

    async def page(self, query: Query) -> Page:
        """Return a slice that begins after the query's cursor. Raises what ``read`` raises."""
        key = msgspec.structs.replace(query, consumers=(), limit=0)
        if (page := self._get(key)) is not None:
            return page
        if (reading := self._reading.get(key)) is not None:
            await reading.wait()
            if (page := self._get(key)) is not None:
                return page
        done = self._reading.setdefault(key, self._waiting.event())
        try:
            page = await self._read(msgspec.structs.replace(query, limit=self._limit))
        finally:
            if self._reading.get(key) is done:
                del self._reading[key]
            done.set()
        return self._put(key, page)

    def clear(self) -> None:
        """Drop everything: the log's content has changed."""
        self._pages.clear()
        self._slices.clear()

    def _get(self, key: Query) -> Page | None:
        cached = self._slices.get(key)
        if cached is None or self._clock() - cached.read_at > MAX_AGE_SECONDS:
            return None
        cached.used += 1
        return cached.slices[key]

    def _put(self, key: Query, page: Page) -> Page:
        """Cache a page's slices; return the first one."""
        if len(page.events) <= SLICE_EVENTS:
            return page
        cached = _CachedPage(self._clock())
        first: Page | None = None
        start = key.expect
        for part in _slices(page, whole_commits=key.whole_commits):
            first = first or part
            if part.through.position < page.head.position:
                at = key if start is None else _key_at(key, start)
                cached.slices[at] = part
                self._slices[at] = cached
            start = part.through
        self._pages.append(cached)
        while len(self._pages) > CACHED_PAGES:
            self._drop(self._pages.popleft())
        assert first is not None  # noqa: S101 - there are events
        return first

    def _drop(self, cached: _CachedPage) -> None:
        """Drop a page; read less at once where more than half of its slices were not used."""
        for key in cached.slices:
            if self._slices.get(key) is cached:
                del self._slices[key]
        wasted = 2 * cached.used < len(cached.slices) - 1
        self._limit = self._limit // 2 if wasted else self._limit * 2
        self._limit = min(max(self._limit, SLICE_EVENTS), PAGE_EVENTS)


def _key_at(key: Query, cursor: Cursor) -> Query:
    return msgspec.structs.replace(key, after=cursor.position, expect=cursor)


def _slices(page: Page, *, whole_commits: bool) -> Iterator[Page]:
    """Cut a page into slices, each as if the read had been limited to it."""
    events = page.events
    start = 0
    while start < len(events):
        end = start + SLICE_EVENTS
        while whole_commits and end < len(events) and events[end].commit == events[end - 1].commit:
            end += 1
        if end >= len(events):
            through = page.through
        else:
            last = events[end - 1]
            ended = last.position == last.commit or not whole_commits
            through = Cursor(
                page.through.log_id,
                last.position if ended else last.commit,
                last.hash if ended else page.ends[last.commit],
            )
        lost = page.lost if start == 0 else {}
        yield msgspec.structs.replace(page, events=events[start:end], through=through, lost=lost)
        start = end
