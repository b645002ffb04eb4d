"""Followers of one store share one reader: what it costs, and that it changes nothing."""

from __future__ import annotations

import threading
from itertools import chain
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import LASTING, LOG_URLS, positions, some
from support.waiting import collect, eventually, take

from eventstore import END, EventStore, HistoryDivergedError, NewEvent, StorageError
from eventstore.changes.event_window import SLICE_EVENTS, WINDOW_EVENTS
from eventstore.changes.poll_schedule import PollSchedule
from eventstore.changes.tail_buffer import READ_EVENTS
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import Event, Subscription
    from eventstore.log.operations import Page, Query

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LASTING)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that two stores can open."""
    return LOG_URLS[request.param](tmp_path)


class Reads:
    """Counts the pages that a store reads."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[Query] = []
        read = store._log._read_page

        def counting(query: Query) -> Page:
            self.queries.append(query)
            return read(query)

        monkeypatch.setattr(store._log, "_read_page", counting)


async def test_a_commit_is_read_once_for_all_followers(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(url, poll=30) as store, EventStore.open(url) as writer:
        received: list[list[int]] = [[] for _ in range(50)]
        subscriptions = [store.subscribe_changes(after=END) for _ in received]

        async def follow(number: int) -> None:
            async for event in subscriptions[number]:
                received[number].append(event.position)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(follow, number)

            async def all_follow() -> bool:
                return all(one.caught_up for one in subscriptions)

            await eventually(all_follow)
            reads = Reads(store, monkeypatch)
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
            return store.feed.tail.reads >= 2

        await eventually(joined)
        reads = Reads(store, monkeypatch)
        before = store.feed.tail.reads

        async def polled() -> bool:
            return store.feed.tail.reads >= before + 5

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
        assert len(store.feed.tail.window.events) <= WINDOW_EVENTS
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
        await caught_up(subscription)
        refresh = store.feed.tail.refresh

        async def cut_short(*, woken: bool) -> None:
            monkeypatch.setattr(store.feed.tail, "refresh", refresh)
            scope.cancel()
            await refresh(woken=woken)

        monkeypatch.setattr(store.feed.tail, "refresh", cut_short)
        await store.append("a/1", some(1))
        with anyio.CancelScope() as scope:
            await take(subscription, 1)
        assert scope.cancelled_caught
        assert positions(await take(subscription, 1)) == [1]


@pytest.mark.promise("subscription")
async def test_what_a_look_finds_reaches_those_who_had_heard_its_signal_before(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        EventStore.open(url, poll=3600, notify="none") as store,
        EventStore.open(url, notify="none") as writer,
        anyio.create_task_group() as tasks,
    ):
        first, second = store.subscribe_changes(after=END), store.subscribe_changes(after=END)
        got: list[int] = []

        async def follow() -> None:
            async for event in first:
                got.append(event.position)  # noqa: PERF401 - it is looked at meanwhile

        async def has(position: int) -> None:
            await eventually(lambda: _true(position in got))

        async with first, second:
            await caught_up(first)
            await caught_up(second)
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await writer.append("a/1", some(1))
            store.feed.changed.set()
            await has(1)
            reading, go_on = gate(store, monkeypatch)
            store.feed.changed.set()
            await eventually(lambda: _true(reading.is_set()))
            await writer.append("a/1", some(1))
            # It takes what is there, and waits, while what it will be told of is being read.
            assert positions(await take(second, 1)) == [1]
            tasks.start_soon(take_into, second, got)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
            await eventually(lambda: _true(got == [1, 2, 2]))
            await first.aclose()


@pytest.mark.promise("subscription")
async def test_what_a_timed_look_finds_reaches_those_whose_time_is_not_up(url: str) -> None:
    async with (
        EventStore.open(url, poll=3600, notify="none") as store,
        EventStore.open(url, notify="none") as writer,
        store.subscribe_changes(after=END) as subscription,
        anyio.create_task_group() as tasks,
    ):
        await caught_up(subscription)
        got: list[int] = []
        tasks.start_soon(take_into, subscription, got)
        await writer.append("a/1", some(1))
        await anyio.wait_all_tasks_blocked()
        store.feed.tail.schedule = PollSchedule(-1)
        await store.feed.tail.refresh(woken=False)
        store.feed.tail.schedule = PollSchedule(3600)
        await eventually(lambda: _true(got))


@pytest.mark.promise("subscription")
async def test_a_look_that_finds_more_than_a_page_goes_on(url: str) -> None:
    async with (
        EventStore.open(url, poll=3600, notify="none") as store,
        EventStore.open(url, notify="none") as writer,
        store.subscribe_changes(after=END) as subscription,
    ):
        await caught_up(subscription)
        for _ in range(3):
            await writer.append("a/1", some(READ_EVENTS))
        store.feed.changed.set()
        assert len(await take(subscription, 3 * READ_EVENTS)) == 3 * READ_EVENTS


async def test_one_that_comes_later_shares_a_window_that_nobody_has_kept_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        EventStore.open(url, poll=0.1, notify="none") as store,
        EventStore.open(url, notify="none") as writer,
        anyio.create_task_group() as tasks,
    ):
        async with store.subscribe_changes() as first:
            await caught_up(first)
        await writer.append("a/1", some(5))
        later = store.subscribe_changes()
        assert len(await take(later, 5)) == 5
        tasks.start_soon(take, later, 1)
        await eventually(lambda: _true(store.feed.tail.position == 5))
        reads, before = Reads(store, monkeypatch), store.feed.tail.reads
        await eventually(lambda: _true(store.feed.tail.reads >= before + 3))
        # Every look is one for all, and none is in between.
        assert len(reads.queries) <= 4
        tasks.cancel_scope.cancel()


@pytest.mark.promise("subscription")
async def test_followers_go_on_once_one_of_them_finds_that_the_database_is_back(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.changes.page_follower.Backoff", OneTries)
    monkeypatch.setattr(OneTries, "chosen", None)
    monkeypatch.setattr(OneTries, "failed", 0)
    async with (
        EventStore.open(url, poll=3600, notify="none") as store,
        EventStore.open(url, notify="none") as writer,
    ):
        followers = [store.subscribe_changes(after=END) for _ in range(5)]
        for follower in followers:
            await caught_up(follower)
        read, away, got = store._log._read_page, True, list[int]()

        def fail(query: Query) -> Page:
            if away:
                raise StorageError("here", "away", transient=True)
            return read(query)

        monkeypatch.setattr(store._log, "_read_page", fail)
        async with anyio.create_task_group() as tasks:
            for follower in followers:
                tasks.start_soon(take_into, follower, got)
            await writer.append("a/1", some(1))
            store.feed.changed.set()
            await eventually(lambda: _true(OneTries.failed >= 10))
            away = False
        assert got == [1] * 5


class OneTries(Backoff):
    """Lets one follower try again and again, and the others never."""

    chosen: OneTries | None = None
    failed = 0

    def next(self) -> float:
        OneTries.chosen = OneTries.chosen or self
        OneTries.failed += 1
        self.failures += 1
        return 0.01 if self is OneTries.chosen else 3600.0


async def test_hearing_that_there_is_nothing_new_spares_a_look() -> None:
    now = 100.0
    schedule = PollSchedule(1.0, lambda: now)
    assert 0.9 <= schedule.remaining() <= 1.0
    for _ in range(14):
        now += 0.7
        schedule.heartbeat()
        assert 0.7 <= schedule.remaining() <= 1.0
    now += schedule.remaining()
    assert schedule.log_read()
    assert 0.75 <= schedule.remaining() <= 0.85
    for _ in range(22):
        now += 0.7
        schedule.heartbeat()
    # Nobody is believed for ever; and who only makes sure tells nobody.
    assert schedule.remaining() == 0
    assert not schedule.log_read()
    assert schedule.remaining() > 0


async def _true(value: object) -> object:
    return value


async def caught_up(subscription: Subscription) -> None:
    """Return once a follower waits in the window."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take, subscription, 1)
        await eventually(lambda: _true(subscription.caught_up))
        tasks.cancel_scope.cancel()


async def take_into(subscription: Subscription, got: list[int]) -> None:
    got.extend(positions(await take(subscription, 1)))


def gate(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> tuple[threading.Event, threading.Event]:
    """Hold up the next page that the store reads, until the second event is set."""
    reading, go_on = threading.Event(), threading.Event()
    read = store._log._read_page

    def gated(query: Query) -> Page:
        reading.set()
        assert go_on.wait(20)
        return read(query)

    monkeypatch.setattr(store._log, "_read_page", gated)
    return reading, go_on
