"""What followers read of the log for themselves, handed out in small parts.

Reading many events at once is fast; holding them for a follower that stands still is a waste.
So a follower is given a slice, and the rest of what was read lies on a shelf that all followers
of a store share. The shelf is small, what was put there first goes first, and whoever finds its
slice gone reads again. Followers that catch up side by side find what the first of them read.

Only slices that end before the head are put there: where the log ends is looked at anew each
time, or a change after the look would go unnoticed.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from eventstore.changes.tail_buffer import SLICE_EVENTS
from eventstore.log.events import Cursor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from eventstore.log.operations import Page, Query

PAGE_EVENTS: Final = 1024
"""Events read at once at the most."""

SHELF_PAGES: Final = 8
"""How many pages the shelf holds: a page has bounds of its own, in events and in bytes."""

SHELF_SECONDS: Final = 10.0
"""How long a slice may be given out: what has been redacted or restored since is older then."""


class _Shelved:
    """The slices of one page: their keys, and how many were asked for."""

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
    ) -> None:
        self._read = read
        self._clock = clock
        self._pages: deque[_Shelved] = deque()
        self._slices: dict[Query, _Shelved] = {}
        self._reading: dict[Query, anyio.Event] = {}
        self._limit = PAGE_EVENTS

    async def page(self, query: Query) -> Page:
        """Return a slice that begins after the query's cursor. Raises what ``read`` raises."""
        key = msgspec.structs.replace(query, consumers=(), limit=0)
        if (page := self._take(key)) is not None:
            return page
        if (reading := self._reading.get(key)) is not None:
            await reading.wait()
            if (page := self._take(key)) is not None:
                return page
        done = self._reading.setdefault(key, anyio.Event())
        try:
            page = await self._read(msgspec.structs.replace(query, limit=self._limit))
        finally:
            if self._reading.get(key) is done:
                del self._reading[key]
            done.set()
        return self._put(key, page)

    def clear(self) -> None:
        """Forget everything: the log's content has changed."""
        self._pages.clear()
        self._slices.clear()

    def _take(self, key: Query) -> Page | None:
        shelved = self._slices.get(key)
        if shelved is None or self._clock() - shelved.read_at > SHELF_SECONDS:
            return None
        shelved.used += 1
        return shelved.slices[key]

    def _put(self, key: Query, page: Page) -> Page:
        if len(page.events) <= SLICE_EVENTS:
            return page
        shelved = _Shelved(self._clock())
        first: Page | None = None
        start = key.expect
        for part in _slices(page, whole_commits=key.whole_commits):
            first = first or part
            if part.through.position < page.head.position:
                at = key if start is None else _moved(key, start)
                shelved.slices[at] = part
                self._slices[at] = shelved
            start = part.through
        self._pages.append(shelved)
        while len(self._pages) > SHELF_PAGES:
            self._drop(self._pages.popleft())
        assert first is not None  # noqa: S101 - there are events
        return first

    def _drop(self, shelved: _Shelved) -> None:
        """Forget a page; read less at once where what was read ahead is not asked for."""
        for key in shelved.slices:
            if self._slices.get(key) is shelved:
                del self._slices[key]
        wasted = 2 * shelved.used < len(shelved.slices) - 1
        self._limit = self._limit // 2 if wasted else self._limit * 2
        self._limit = min(max(self._limit, SLICE_EVENTS), PAGE_EVENTS)


def _moved(key: Query, cursor: Cursor) -> Query:
    return msgspec.structs.replace(key, after=cursor.position, expect=cursor)


def _slices(page: Page, *, whole_commits: bool) -> Iterator[Page]:
    """Cut a page where a follower could have stopped reading."""
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
