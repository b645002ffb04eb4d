"""One read of the log for the projections of a runner that catch up side by side.

Each has a position of its own. A page that one of them has read stays until the others have had
it, so many pages at the most. The first one then waits for those that follow, at the most for
twice as long as it took for its own last page: one that is slower than that, or that is elsewhere
in the log, reads for itself.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore.log.events import Cursor
    from eventstore.log.operations import Page, Query

    Read = Callable[[Query], Awaitable[Page]]

PAGES: Final = 4
"""Pages that are kept for those that follow, at the most."""

PAGE_EVENTS: Final = 16_384
"""Events that are read at once, at the most."""

BATCH_PAGES: Final = 4
"""Pages that are given out as one, at the most: what bounds the memory of a batch."""

PATIENCE: Final = 2.0
"""How many times as long as its own last page took a projection waits for others."""

LEAST_SECONDS: Final = 0.02
"""It waits for so long at least: others may only be about to begin."""


class _Kept(NamedTuple):
    """A page that was read after ``start``."""

    start: Cursor
    query: Query
    page: Page


class SharedPages:
    """Pages of whole commits that ``read`` reads, for several readers in one event loop.

    ``clock`` gives seconds.
    """

    def __init__(self, read: Read, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._pages: deque[_Kept] = deque()
        self._reached: dict[PageReader, int] = {}
        self._reading = anyio.Lock()
        self._moved = anyio.Event()

    def reader(self) -> PageReader:
        """Return the reader of one projection."""
        return PageReader(self, self._clock)

    def move(self, reader: PageReader, position: int) -> None:
        """Take note of where a reader is; drop the pages that all readers have had."""
        self._reached[reader] = position
        self._drop_used()

    def leave(self, reader: PageReader) -> None:
        """Take note that a reader needs no more pages for now."""
        self._reached.pop(reader, None)
        self._drop_used()

    async def page(self, reader: PageReader, query: Query, patience: float) -> Page:
        """Return what follows the query's cursor; wait for others for so long at the most."""
        self.move(reader, query.after)
        page = self._find(query)
        if page is None and self._is_behind(query):
            self.leave(reader)
            return await self._read(query)
        if page is None:
            async with self._reading:
                page = self._find(query) or await self._read_next(query, patience)
        self.move(reader, page.through.position)
        return page

    async def _read_next(self, query: Query, patience: float) -> Page:
        """Read the page after those that are kept, and keep it for others."""
        await self._make_room(patience)
        page = await self._read(query)
        if self._pages and self._pages[-1].page.through != query.expect:
            self._pages.clear()
        if query.expect is not None and page.through != query.expect:
            self._pages.append(_Kept(query.expect, query, page))
        return page

    def _find(self, query: Query) -> Page | None:
        """Return what follows the query's cursor of a kept page."""
        for start, read, page in self._pages:
            if not start.position <= query.after < page.through.position:
                continue
            if read.kept != query.kept or page.through.position > (query.until or 0):
                return None
            if query.after == start.position:
                return page if query.expect == start else None
            at = next((i for i, one in enumerate(page.events) if one.position == query.after), None)
            if at is None or query.expect is None or page.events[at].hash != query.expect.hash:
                return None
            return replace(page, events=page.events[at + 1 :])
        return None

    def _is_behind(self, query: Query) -> bool:
        """Whether the pages that are kept begin, or go on, after the query's cursor."""
        return bool(self._pages) and query.after < self._pages[-1].page.through.position

    async def _make_room(self, patience: float) -> None:
        """Wait until a page can be dropped; those who are slower than that read for themselves."""
        with anyio.move_on_after(patience):
            while len(self._pages) >= PAGES:
                await self._moved.wait()
        while len(self._pages) >= PAGES:
            end = self._pages.popleft().page.through.position
            for reader in [one for one, at in self._reached.items() if at < end]:
                del self._reached[reader]

    def _drop_used(self) -> None:
        last = min(self._reached.values(), default=None)
        while self._pages and (last is None or self._pages[0].page.through.position <= last):
            self._pages.popleft()
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


class PageReader:
    """What reads the log for one projection, page after page."""

    def __init__(self, pages: SharedPages, clock: Callable[[], float]) -> None:
        self._pages = pages
        self._clock = clock
        self._served = clock()

    def join(self) -> None:
        """Let the others keep their pages: this one is about to begin."""
        self._pages.move(self, -1)

    async def page(self, query: Query) -> Page:
        """Return what follows; pages as one, where the query asks for more than a page's events.

        What trimming has kept comes a page at a time. Raises what reading raises.
        """
        took = self._clock() - self._served
        patience = max(PATIENCE * took, LEAST_SECONDS)
        whole = await self._page(query, query.limit, patience)
        more = 0 if query.kept or query.limit <= PAGE_EVENTS else BATCH_PAGES - 1
        for _ in range(more):
            left, reached = query.limit - len(whole.events), whole.through
            if left <= 0 or reached.position >= (query.until or 0):
                break
            next_ = replace(query, after=reached.position, expect=reached)
            page = await self._page(next_, left, patience)
            if page.through == reached:
                break  # The rest of the range is the beginning of a commit that ends past it.
            events = [*whole.events, *page.events]
            whole = replace(page, events=events, ends={**whole.ends, **page.ends})
        self._served = self._clock()
        return whole

    async def _page(self, query: Query, most: int, patience: float) -> Page:
        limited = replace(query, limit=min(most, PAGE_EVENTS))
        return await self._pages.page(self, limited, patience)

    def leave(self) -> None:
        """Need no more pages for now."""
        self._pages.leave(self)
