"""Subscriptions of one store share one reader: its cost, and that results stay the same."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import positions, some
from support.tail_readers import (
    Arrivals,
    OneTries,
    Reads,
    before_reads,
    caught_up,
    following,
    gate,
    take_into,
    unwoken,
    with_writer,
)
from support.waiting import DEADLINE, collect, signalled, take

from eventstore import END, EventStore, HistoryDivergedError, NewEvent, StorageError
from eventstore.changes._event_window import SLICE_EVENTS, WINDOW_EVENTS
from eventstore.changes._poll_schedule import PollSchedule
from eventstore.changes._tail_buffer import READ_EVENTS
from eventstore.system.event_loop import Signal

if TYPE_CHECKING:
    from eventstore import Event

pytestmark = pytest.mark.anyio


async def test_a_commit_is_read_once_for_all_subscriptions(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_writer(lasting_url) as (store, writer):
        received: list[list[int]] = [[] for _ in range(50)]
        subscriptions = [store.subscribe_changes(after=END) for _ in received]
        arrivals = Arrivals()

        async def follow(number: int) -> None:
            async for event in subscriptions[number]:
                received[number].append(event.position)
                arrivals.add(event.position)

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(follow, number)
            waiting = store.feed.waiting
            await signalled(waiting, lambda: all(one.caught_up for one in subscriptions))
            reads = Reads(store, monkeypatch)
            for count in range(1, 21):
                await writer.append("a/1", some(1))
                for _ in received:
                    assert await arrivals.receive() == count
            tasks.cancel_scope.cancel()
        assert received == [list(range(1, 21))] * 50
        # One for each commit, and a few for wakes that came twice.
        assert 20 <= len(reads.queries) <= 60


async def test_waiting_subscriptions_share_polls(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        EventStore.open(lasting_url, poll=0.1, notify="none") as store,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(40):
            tasks.start_soon(collect, store.subscribe_changes())
        tail = store.feed.tail
        await signalled(tail.read_done, lambda: tail.reads >= 2)
        reads, before = Reads(store, monkeypatch), tail.reads
        await signalled(tail.read_done, lambda: tail.reads >= before + 5)
        # Each of 40 for itself would have read 200 times.
        assert len(reads.queries) <= 15
        tasks.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_subscription_outside_the_window_reads_for_itself_and_misses_nothing(
    lasting_url: str,
) -> None:
    async with EventStore.open(lasting_url) as store:
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


async def test_a_subscription_that_stands_still_keeps_one_slice(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store, EventStore.open(lasting_url) as writer:
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
    lasting_url: str, streams: str | None, types: tuple[str, ...] | None
) -> None:
    async with EventStore.open(lasting_url) as store:
        found: list[Event] = []
        subscription = store.subscribe_changes(streams=streams, types=types)

        async def follow() -> None:
            found.extend([event async for event in subscription])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for number in range(30):
                kind = ("Even", "Odd")[number % 2]
                await store.append(("a/1", "a/2", "b/1")[number % 3], [NewEvent(kind, number)])
            await signalled(store.feed.waiting, lambda: subscription.position == 30)
            await subscription.aclose()
        assert found == await collect(store.read(streams=streams, types=types))


async def test_whole_commits_come_whole_from_the_window(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
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
            await signalled(store.feed.waiting, lambda: len(commits) == len(sizes))
            await subscription.aclose()
        assert [len(commit) for commit in commits] == sizes
        assert list(chain.from_iterable(commits)) == list(range(1, sum(sizes) + 1))


async def test_a_cursor_of_another_history_fails_beside_subscriptions_that_share(
    lasting_url: str,
) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(3))
        async with store.subscribe_changes(after=END) as good:
            head = (await store.head()).cursor
            stranger = type(head)(head.log_id, 2, b"x" * 32)
            with pytest.raises(HistoryDivergedError):
                await take(store.subscribe_changes(after=stranger), 1)
            await store.append("a/1", some(1))
            assert positions(await take(good, 1)) == [4]


async def test_a_cancelled_read_has_seen_nothing(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(lasting_url, poll=3600) as store:
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
async def test_a_read_reaches_subscriptions_that_were_woken_before_it_ended(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        unwoken(lasting_url) as (store, writer),
        anyio.create_task_group() as tasks,
    ):
        first, second = store.subscribe_changes(after=END), store.subscribe_changes(after=END)
        arrivals = Arrivals()

        async def follow() -> None:
            async for event in first:
                arrivals.add(event.position)

        async with first, second:
            await caught_up(first)
            await caught_up(second)
            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            await writer.append("a/1", some(1))
            store.feed.changed.set()
            assert await arrivals.receive() == 1
            reading, go_on = gate(store, monkeypatch)
            store.feed.changed.set()
            assert await anyio.to_thread.run_sync(reading.wait, DEADLINE)
            await writer.append("a/1", some(1))
            # It takes what is in memory, and waits while the event after it is being read.
            assert positions(await take(second, 1)) == [1]
            tasks.start_soon(take_into, second, arrivals)
            await anyio.wait_all_tasks_blocked()
            go_on.set()
            assert [await arrivals.receive(), await arrivals.receive()] == [2, 2]
            await first.aclose()


@pytest.mark.promise("subscription")
async def test_what_a_poll_finds_reaches_subscriptions_that_are_not_due_for_one(
    lasting_url: str,
) -> None:
    async with unwoken(lasting_url) as (store, writer), following(store) as arrivals:
        await writer.append("a/1", some(1))
        await anyio.wait_all_tasks_blocked()
        store.feed.tail.schedule = PollSchedule(-1)
        await store.feed.tail.refresh(woken=False)
        store.feed.tail.schedule = PollSchedule(3600)
        assert await arrivals.receive() == 1


async def test_a_window_that_is_reset_during_a_read_is_begun_anew(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with unwoken(lasting_url) as (store, writer), following(store) as arrivals:
        await anyio.wait_all_tasks_blocked()
        reading, go_on = gate(store, monkeypatch)
        await writer.append("a/1", some(1))
        store.feed.changed.set()
        assert await anyio.to_thread.run_sync(reading.wait, DEADLINE)
        store.feed.tail.reset()
        go_on.set()
        assert await arrivals.receive() == 1


@pytest.mark.promise("subscription")
async def test_a_read_that_finds_more_than_a_page_goes_on(lasting_url: str) -> None:
    async with (
        unwoken(lasting_url) as (store, writer),
        store.subscribe_changes(after=END) as subscription,
    ):
        await caught_up(subscription)
        for _ in range(3):
            await writer.append("a/1", some(READ_EVENTS))
        store.feed.changed.set()
        assert len(await take(subscription, 3 * READ_EVENTS)) == 3 * READ_EVENTS


async def test_a_later_subscription_shares_a_window_that_had_fallen_behind(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        unwoken(lasting_url, poll=0.1) as (store, writer),
        anyio.create_task_group() as tasks,
    ):
        async with store.subscribe_changes() as first:
            await caught_up(first)
        await writer.append("a/1", some(5))
        later = store.subscribe_changes()
        assert len(await take(later, 5)) == 5
        tasks.start_soon(take, later, 1)
        tail = store.feed.tail
        await signalled(store.feed.waiting, lambda: tail.position == 5)
        reads, before = Reads(store, monkeypatch), tail.reads
        await signalled(tail.read_done, lambda: tail.reads >= before + 3)
        # Each read is one for all, and there are no others.
        assert len(reads.queries) <= 4
        tasks.cancel_scope.cancel()


@pytest.mark.promise("subscription")
async def test_subscriptions_go_on_once_one_of_them_reads_after_an_outage(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.changes._page_follower.Backoff", OneTries)
    monkeypatch.setattr(OneTries, "chosen", None)
    monkeypatch.setattr(OneTries, "failed", Signal())
    async with unwoken(lasting_url) as (store, writer):
        followers = [store.subscribe_changes(after=END) for _ in range(5)]
        for follower in followers:
            await caught_up(follower)
        away, arrivals = True, Arrivals()

        def fail() -> None:
            if away:
                raise StorageError("here", "away", transient=True)

        before_reads(store, monkeypatch, fail)
        async with anyio.create_task_group() as tasks:
            for follower in followers:
                tasks.start_soon(take_into, follower, arrivals)
            await writer.append("a/1", some(1))
            store.feed.changed.set()
            await signalled(OneTries.failed, lambda: OneTries.failed.count >= 10)
            away = False
            for _ in followers:
                assert await arrivals.receive() == 1
