"""Hints that prove untrue cost few looks; batch that nobody comes for costs bounded memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import LASTING, LOG_URLS, positions, some
from support.waiting import eventually, take

from eventstore import Cursor, EventStore
from eventstore.changes.tail_buffer import OUT_OF_ORDER_SECONDS
from eventstore.changes.wake_up_back_off import FREE_FALSE_WAKE_UPS, MAX_DELAY_SECONDS
from eventstore.log.operations import CommitBatch
from eventstore.system.event_loop import INBOX, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

ABSURD = 10**19


@pytest.fixture(params=LASTING)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that two stores can open."""
    return LOG_URLS[request.param](tmp_path)


@pytest.mark.promise("slow-follower")
async def test_a_flood_of_absurd_positions_costs_few_looks(url: str) -> None:
    async with EventStore.open(url, poll=60) as store, EventStore.open(url) as writer:
        subscription = store.subscribe_changes()
        await writer.append("a/1", some(1))
        await take(subscription, 1)
        stop = threading.Event()

        def flood() -> None:
            while not stop.wait(0.0001):
                store.feed.wake(ABSURD)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, flood)
            received: list[int] = []

            async def follow() -> None:
                received.extend(positions(await take(subscription, 1, within=60)))

            tasks.start_soon(follow)

            async def doubted() -> bool:
                return store.feed.tail.back_off.false_wake_ups > FREE_FALSE_WAKE_UPS + 5

            await eventually(doubted)
            before, began = store.feed.tail.reads, anyio.current_time()
            await anyio.sleep(20 * MAX_DELAY_SECONDS)
            looks, seconds = store.feed.tail.reads - before, anyio.current_time() - began
            assert 1 <= looks <= seconds / MAX_DELAY_SECONDS + 2
            # Another process's commit is found by one of these looks.
            await writer.append("a/1", some(1))

            async def came() -> bool:
                return received == [2]

            await eventually(came, 5)
            stop.set()
            tasks.cancel_scope.cancel()


async def test_an_own_commit_waits_for_no_doubt(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventstore.changes.wake_up_back_off.MAX_DELAY_SECONDS", 3_600.0)
    monkeypatch.setattr("eventstore.changes.wake_up_back_off.FIRST_DELAY_SECONDS", 3_600.0)
    async with EventStore.open(url, notify="none", poll=7_200) as store:
        subscription = store.subscribe_changes()
        await store.append("a/1", some(1))
        await take(subscription, 1)
        received: list[int] = []

        async def follow() -> None:
            received.extend(positions(await take(subscription, 1)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for number in range(1, FREE_FALSE_WAKE_UPS + 1):
                await anyio.wait_all_tasks_blocked()
                store.feed.wake(ABSURD)

                async def looked(number: int = number) -> bool:
                    return store.feed.tail.back_off.false_wake_ups >= number

                await eventually(looked)
            store.feed.wake(ABSURD)
            await anyio.wait_all_tasks_blocked()
            await store.append("a/1", some(1))
        assert received == [2]


def batch(store: EventStore, position: int) -> CommitBatch:
    event = store_event(position + 1)
    return CommitBatch(Cursor(store.feed.newest.log_id, position, b"lost" * 8), (event,))


def store_event(position: int) -> Any:
    from eventstore import Event

    return Event(position, "a/1", 1, "T", position, b"x" * 16, 0, b"1", b"", 1, b"l" * 32)


async def test_a_lost_branch_s_news_is_forgotten_after_one_look(url: str) -> None:
    async with EventStore.open(url, notify="none", poll=60) as store:
        subscription = store.subscribe_changes()
        await store.append("a/1", some(1))
        await take(subscription, 1)
        store.feed.tail.add(batch(store, 5_000))
        store.feed.tail.add(batch(store, 1))
        assert store.feed.tail._out_of_order
        assert store.feed.tail.unused_batches == 1
        await store.append("a/1", some(1))
        assert positions(await take(subscription, 1)) == [2]
        assert not store.feed.tail._out_of_order
        began = anyio.current_time()
        for number in range(3, 33):
            await store.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [number]
        assert anyio.current_time() - began < 30 * OUT_OF_ORDER_SECONDS + 5


@pytest.mark.promise("slow-follower")
async def test_a_busy_loop_s_inbox_is_bounded_and_says_that_it_lost() -> None:
    calls: list[Callable[[], Any]] = []
    taken: list[int] = []
    lost: list[bool] = []
    inbox: Inbox[int] = Inbox(calls.append, taken.append, lambda: lost.append(True))
    for number in range(INBOX):
        inbox.put(number)
    assert len(calls) == 1
    calls.pop()()
    assert (taken, lost) == (list(range(INBOX)), [])
    taken.clear()
    for number in range(10 * INBOX):
        inbox.put(number)
        assert len(inbox._items) <= INBOX
    calls.pop()()
    assert (taken, lost) == ([], [True])
    inbox.put(7)
    calls.pop()()
    assert taken == [7]
