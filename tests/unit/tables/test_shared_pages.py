"""Pages that several projections share: each page is read once, and slow readers hold up none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import some

from eventstore import Cursor, EventStore, HistoryDivergedError
from eventstore.log.operations import Query
from projections import _shared_pages
from projections._shared_pages import PageReader, SharedPages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.log.operations import Page

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

EVENTS = 40


class Log:
    """A log of commits of one event, and the reads of it."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.reads: list[int] = []
        self.pages = SharedPages(self.read)

    async def read(self, query: Query) -> Page:
        """Read a page, and note after which position."""
        self.reads.append(query.after)
        return await self.store.feed.page(query)

    async def next(self, reader: PageReader, after: Cursor, until: int = EVENTS) -> Page:
        """Return the page of four events that a reader gets after a cursor."""
        query = Query(after=after.position, until=until, limit=4, whole_commits=True, expect=after)
        return await reader.page(query)

    async def read_all(self, reader: PageReader, after: Cursor) -> list[int]:
        """Return the positions of all that a reader gets after a cursor."""
        seen: list[int] = []
        while after.position < EVENTS:
            page = await self.next(reader, after)
            seen += [event.position for event in page.events]
            after = page.through
        reader.leave()
        return seen


@pytest.fixture
async def log() -> AsyncIterator[Log]:
    async with EventStore.open("memory://") as store:
        for _ in range(EVENTS):
            await store.append("a/1", some(1))
        yield Log(store)


async def cursor_at(log: Log, position: int) -> Cursor:
    page = await log.store.feed.page(Query(after=0, until=position, limit=EVENTS))
    return page.through


async def test_each_page_is_read_once_for_those_who_joined(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shared_pages, "LEAST_SECONDS", 60.0)
    start, readers = await cursor_at(log, 0), [log.pages.reader() for _ in range(3)]
    seen: list[list[int]] = []

    async def follow(reader: PageReader) -> None:
        seen.append(await log.read_all(reader, start))

    async with anyio.create_task_group() as tasks:
        for reader in readers:
            reader.join()
            tasks.start_soon(follow, reader)
    assert seen == [list(range(1, EVENTS + 1))] * 3
    assert log.reads == list(range(0, EVENTS, 4))


async def test_one_that_is_slow_reads_for_itself(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared_pages, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(_shared_pages, "PATIENCE", 0.0)
    start, slow, fast = await cursor_at(log, 0), log.pages.reader(), log.pages.reader()
    slow.join()
    everything = list(range(1, EVENTS + 1))
    assert await log.read_all(fast, start) == everything
    assert await log.read_all(slow, start) == everything
    assert log.reads[: EVENTS // 4] == list(range(0, EVENTS, 4))


async def test_one_that_begins_inside_a_page_gets_the_rest_of_it(log: Log) -> None:
    first, second = log.pages.reader(), log.pages.reader()
    second.join()
    await log.next(first, await cursor_at(log, 0))
    page = await log.next(second, await cursor_at(log, 2))
    assert ([event.position for event in page.events], log.reads) == ([3, 4], [0])


@pytest.mark.parametrize(("position", "until"), [(2, 40), (0, 3)])
async def test_a_page_of_another_history_or_past_the_end_is_not_shared(
    log: Log, position: int, until: int
) -> None:
    first, second = log.pages.reader(), log.pages.reader()
    second.join()
    await log.next(first, await cursor_at(log, 0))
    if until == EVENTS:
        wrong = Cursor((await log.store.head()).log_id, position, b"x" * 32)
        with pytest.raises(HistoryDivergedError):
            await log.next(second, wrong)
    else:
        page = await log.next(second, await cursor_at(log, position), until)
        assert page.events[-1].position == until
    assert log.reads == [0, position]


async def test_pages_are_kept_no_longer_than_they_are_needed(log: Log) -> None:
    first, second = log.pages.reader(), log.pages.reader()
    second.join()
    start = await cursor_at(log, 0)
    await log.next(first, start)
    assert len(log.pages._pages) == 1
    await log.next(second, start)
    assert len(log.pages._pages) == 0


@pytest.mark.parametrize(
    ("after", "until", "limit", "last", "reads"),
    [
        (0, EVENTS, 12, 12, [0, 4, 8]),
        (0, EVENTS, 10, 10, [0, 4, 8]),
        (0, EVENTS, EVENTS, 16, [0, 4, 8, 12]),  # So many pages at the most.
        (0, 6, EVENTS, 6, [0, 4]),
        (0, EVENTS, 3, 3, [0]),
        (36, EVENTS, EVENTS, EVENTS, [36]),
    ],
)
async def test_pages_are_given_out_as_one_where_more_events_are_asked_for(
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    until: int,
    limit: int,
    last: int,
    reads: list[int],
) -> None:
    monkeypatch.setattr(_shared_pages, "PAGE_EVENTS", 4)
    start = await cursor_at(log, after)
    query = Query(after=after, until=until, limit=limit, whole_commits=True, expect=start)
    page = await log.pages.reader().page(query)
    assert [event.position for event in page.events] == list(range(after + 1, last + 1))
    assert page.through == await cursor_at(log, last)
    assert log.reads == reads


async def test_pages_given_out_as_one_end_before_a_commit_that_is_not_whole(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shared_pages, "PAGE_EVENTS", 4)
    await log.store.append("a/1", some(8))
    start, until = await cursor_at(log, EVENTS - 4), EVENTS + 6
    query = Query(after=EVENTS - 4, until=until, limit=20, whole_commits=True, expect=start)
    page = await log.pages.reader().page(query)
    assert page.through.position == page.events[-1].position == EVENTS
