"""Subscriptions that are behind read large pages and hold small slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import positions, some
from support.waiting import collect, take

from eventstore import EventStore, NewEvent
from eventstore.changes._event_window import SLICE_EVENTS
from eventstore.changes._page_cache import CACHED_PAGES, MAX_AGE_SECONDS, PAGE_EVENTS, PageCache

if TYPE_CHECKING:
    from eventstore.log.operations import Page, Query

pytestmark = pytest.mark.anyio


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Reads:
    """Puts a page cache with a clock of its own into a store, and counts its reads."""

    def __init__(self, store: EventStore) -> None:
        self.queries: list[Query] = []
        self.clock = Clock()
        self._page = store.feed.page
        store.feed.pages = PageCache(self._counting, self.clock)

    async def _counting(self, query: Query) -> Page:
        self.queries.append(query)
        return await self._page(query)


@pytest.mark.promise("slow-follower")
async def test_a_subscription_behind_that_stands_still_holds_one_slice(
    lasting_url: str,
) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(3 * PAGE_EVENTS))
        slow = store.subscribe_changes()
        await take(slow, 1)
        assert len(slow._events) == SLICE_EVENTS
        assert positions(await take(slow, 3 * PAGE_EVENTS - 1))[-1] == 3 * PAGE_EVENTS


@pytest.mark.slow
@pytest.mark.promise("slow-follower")
async def test_the_cache_stays_small_however_many_subscriptions_stand_still(
    lasting_url: str,
) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", [NewEvent(f"T{n % 50}", n) for n in range(20_000)])
        slow = [store.subscribe_changes(types=[f"T{n}"]) for n in range(50)]
        for one in slow:
            await take(one, 1)
        cached = [page for each in store.feed.pages._pages for page in each.slices.values()]
        assert len(store.feed.pages._pages) == CACHED_PAGES
        assert sum(len(page.events) for page in cached) <= CACHED_PAGES * PAGE_EVENTS
        assert len(store.feed.pages._slices) == len(cached)
        for number, one in enumerate(slow):
            rest = positions(await take(one, 399))
            assert rest == list(range(number + 51, 20_001, 50))


@pytest.mark.slow
async def test_catching_up_reads_no_more_than_whole_pages_did(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(10 * PAGE_EVENTS))
        reads = Reads(store)
        assert len(await take(store.subscribe_changes(), 10 * PAGE_EVENTS)) == 10 * PAGE_EVENTS
        # Ten, and the last slice of the last page, which reaches the head and is read anew.
        assert len(reads.queries) <= 12


@pytest.mark.slow
async def test_subscriptions_that_catch_up_side_by_side_share_pages(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(10 * PAGE_EVENTS))
        reads = Reads(store)
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(take, store.subscribe_changes(), 9 * PAGE_EVENTS)
        assert len(reads.queries) <= 30


@pytest.mark.slow
async def test_more_subscriptions_than_pages_read_less_and_miss_nothing(
    lasting_url: str,
) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", [NewEvent(f"T{n % 3}", n) for n in range(6_000)])
        reads = Reads(store)
        found: list[list[int]] = []

        async def follow(number: int) -> None:
            got = []
            # Another type that never comes makes each one's pages its own.
            async for event in store.subscribe_changes(
                types=["T1", "T2", f"never{number}"], follow=False
            ):
                got.append(event.position)
                await anyio.lowlevel.checkpoint()
            found.append(got)

        async with anyio.create_task_group() as tasks:
            for number in range(3 * CACHED_PAGES):
                tasks.start_soon(follow, number)
        wanted = [position for position in range(1, 6_001) if (position - 1) % 3]
        assert found == [wanted] * 3 * CACHED_PAGES
        assert min(query.limit for query in reads.queries) < PAGE_EVENTS


async def test_an_old_slice_is_read_anew(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(PAGE_EVENTS + 1))
        reads = Reads(store)
        changes = store.subscribe_changes()
        await take(changes, 1)
        reads.clock.now += MAX_AGE_SECONDS + 1
        assert positions(await take(changes, SLICE_EVENTS))[-1] == SLICE_EVENTS + 1
        assert len(reads.queries) == 2


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, SLICE_EVENTS, SLICE_EVENTS + 1, 700])
@pytest.mark.parametrize("types", [None, ["Even"]])
async def test_whole_commits_come_whole_in_slices(
    lasting_url: str, size: int, types: list[str] | None
) -> None:
    async with EventStore.open(lasting_url) as store:
        wanted: list[int] = []
        for _ in range(-(-1_500 // size) if size > 1 else 200):
            kinds = [("Even", "Odd")[number % 2] for number in range(size)]
            done = await store.append("a/1", [NewEvent(kind, 0) for kind in kinds])
            wanted.append(done.position)
        changes = store.subscribe_changes(types=types, follow=False)
        found = [(cursor, events) async for cursor, events in changes.commits()]
        assert [cursor.position for cursor, _ in found] == wanted
        assert {len(events) for _, events in found} == {size if types is None else -(-size // 2)}
        # Each cursor is one of the log: another subscription may go on there.
        for cursor, _ in found[:: max(1, len(found) // 5)]:
            again = store.subscribe_changes(after=cursor, follow=False)
            assert len(await collect(again)) == wanted[-1] - cursor.position


async def test_a_cancelled_reader_leaves_no_other_one_waiting(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(PAGE_EVENTS))
        begun, page = anyio.Event(), store.feed.page

        async def hanging(query: Query) -> Page:
            store.feed.pages._read = page
            begun.set()
            await anyio.sleep_forever()
            raise AssertionError

        store.feed.pages._read = hanging
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, store.subscribe_changes(), 1)
            await begun.wait()
            async with anyio.create_task_group() as others:
                others.start_soon(take, store.subscribe_changes(), PAGE_EVENTS)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    assert len(await take(store.subscribe_changes(), PAGE_EVENTS)) == PAGE_EVENTS
        assert not store.feed.pages._reading
