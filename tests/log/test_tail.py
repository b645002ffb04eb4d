"""Followers of one store share one reader: what it costs, and that it changes nothing."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import LASTING, LOG_URLS, positions, some
from support.waiting import collect, eventually, take

from eventstore import END, EventStore, HistoryDivergedError, NewEvent
from eventstore.tail import SLICE_EVENTS, WINDOW_EVENTS

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import Event
    from eventstore.ports import Page, Query

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LASTING)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that two stores can open."""
    return LOG_URLS[request.param](tmp_path)


class Reads:
    """Counts the pages that a store reads."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[Query] = []
        read = store._read_page

        def counting(query: Query) -> Page:
            self.queries.append(query)
            return read(query)

        monkeypatch.setattr(store, "_read_page", counting)


async def test_a_commit_is_read_once_for_all_followers(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(url, poll=30) as store, EventStore.open(url) as writer:
        received: list[list[int]] = [[] for _ in range(50)]

        async def follow(number: int) -> None:
            async for event in store.subscribe_changes(after=END):
                received[number].append(event.position)

        async with anyio.create_task_group() as tasks:
            reads = Reads(store, monkeypatch)
            for number in range(50):
                tasks.start_soon(follow, number)

            async def all_follow() -> bool:
                return len([q for q in reads.queries if q.expect]) >= 50

            await eventually(all_follow)
            reads.queries.clear()
            for count in range(1, 21):
                await writer.append("a/1", some(1))

                async def everybody_has_it(count: int = count) -> bool:
                    return all(len(one) == count for one in received)

                await eventually(everybody_has_it)
            tasks.cancel_scope.cancel()
        assert received == [list(range(1, 21))] * 50
        # One for each commit, and a few for wakes that came twice.
        assert 20 <= len(reads.queries) <= 60


async def test_waiting_followers_poll_together(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        EventStore.open(url, poll=0.1, notify="none") as store,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(40):
            tasks.start_soon(collect, store.subscribe_changes())

        async def joined() -> bool:
            return store.tail.reads >= 2

        await eventually(joined)
        reads = Reads(store, monkeypatch)
        before = store.tail.reads

        async def polled() -> bool:
            return store.tail.reads >= before + 5

        await eventually(polled)
        # Each of 40 for itself would have read 200 times.
        assert len(reads.queries) <= 15
        tasks.cancel_scope.cancel()


async def test_one_that_fell_out_of_the_window_reads_for_itself_and_misses_nothing(
    url: str,
) -> None:
    async with EventStore.open(url) as store:
        slow, fast = store.subscribe_changes(), store.subscribe_changes()
        await store.append("a/1", some(1))
        await take(slow, 1)
        await take(fast, 1)
        total = 1
        while total < 3 * WINDOW_EVENTS:
            total = (await store.append("a/1", some(1500))).position
            await take(fast, 1500)
        assert len(store.tail._events) <= WINDOW_EVENTS
        assert positions(await take(slow, total - 1)) == list(range(2, total + 1))


async def test_one_that_stands_still_keeps_a_slice_alive_and_no_more(url: str) -> None:
    async with EventStore.open(url) as store, EventStore.open(url) as writer:
        slow, fast = store.subscribe_changes(after=END), store.subscribe_changes(after=END)
        async with slow, fast:
            for size in (1, 500):
                await writer.append("a/1", some(size))
                await take(fast, size)
                await take(slow, 1)
            assert len(slow._events) <= SLICE_EVENTS


@pytest.mark.parametrize("streams", ["a/", "a/1", None])
@pytest.mark.parametrize("types", [None, ("Odd",), ("Even", "Odd")])
async def test_filters_mean_the_same_in_the_window_as_in_the_log(
    url: str, streams: str | None, types: tuple[str, ...] | None
) -> None:
    async with EventStore.open(url) as store:
        found: list[Event] = []
        subscription = store.subscribe_changes(streams=streams, types=types)

        async def follow() -> None:
            found.extend([event async for event in subscription])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for number in range(30):
                kind = ("Even", "Odd")[number % 2]
                await store.append(("a/1", "a/2", "b/1")[number % 3], [NewEvent(kind, number)])

            async def through() -> bool:
                return subscription.position == 30

            await eventually(through)
            await subscription.aclose()
        assert found == await collect(store.read(streams=streams, types=types))


async def test_whole_commits_come_whole_from_the_window(url: str) -> None:
    async with EventStore.open(url) as store:
        commits: list[list[int]] = []
        subscription = store.subscribe_changes()

        async def follow() -> None:
            async for cursor, events in subscription.commits():
                assert cursor.hash == events[-1].hash
                commits.append(positions(events))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            sizes = [1, SLICE_EVENTS - 1, SLICE_EVENTS, SLICE_EVENTS + 1, 3 * SLICE_EVENTS, 2]
            for size in sizes:
                await store.append("a/1", some(size))

            async def through() -> bool:
                return len(commits) == len(sizes)

            await eventually(through)
            await subscription.aclose()
        assert [len(commit) for commit in commits] == sizes
        assert list(chain.from_iterable(commits)) == list(range(1, sum(sizes) + 1))


async def test_a_follower_of_another_history_is_told_beside_those_that_share(url: str) -> None:
    async with EventStore.open(url) as store:
        await store.append("a/1", some(3))
        async with store.subscribe_changes(after=END) as good:
            head = (await store.head()).cursor
            stranger = type(head)(head.log_id, 2, b"x" * 32)
            with pytest.raises(HistoryDivergedError):
                await take(store.subscribe_changes(after=stranger), 1)
            await store.append("a/1", some(1))
            assert positions(await take(good, 1)) == [4]


async def test_a_look_that_was_cancelled_has_seen_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(url, poll=60) as store:
        subscription = store.subscribe_changes(after=END)
        with anyio.move_on_after(0.05):
            await take(subscription, 1)
        refresh = store.tail.refresh

        async def cut_short(reads: int, *, woken: bool) -> None:
            monkeypatch.setattr(store.tail, "refresh", refresh)
            scope.cancel()
            await refresh(reads, woken=woken)

        monkeypatch.setattr(store.tail, "refresh", cut_short)
        await store.append("a/1", some(1))
        with anyio.CancelScope() as scope:
            await take(subscription, 1)
        assert scope.cancelled_caught
        assert positions(await take(subscription, 1)) == [1]
