"""False wake-ups cost few reads; batches that are not used cost bounded memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import positions, some
from support.tail_readers import with_writer
from support.waiting import DEADLINE, signalled, take

from eventstore import Cursor, EventStore
from eventstore.changes._wake_up_back_off import FREE_FALSE_WAKE_UPS, MAX_DELAY_SECONDS
from eventstore.log.operations import CommitBatch
from eventstore.system.event_loop import INBOX, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

ABSURD = 10**19


@pytest.mark.promise("slow-follower")
async def test_a_flood_of_absurd_positions_costs_few_reads(lasting_url: str) -> None:
    async with with_writer(lasting_url) as (store, writer):
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
            came = anyio.Event()

            async def follow() -> None:
                received.extend(positions(await take(subscription, 1)))
                came.set()

            tasks.start_soon(follow)
            tail = store.feed.tail
            await signalled(
                tail.read_done, lambda: tail.back_off.false_wake_ups > FREE_FALSE_WAKE_UPS + 5
            )
            before, began = tail.reads, anyio.current_time()
            await signalled(tail.read_done, lambda: tail.reads >= before + 20)
            reads, seconds = tail.reads - before, anyio.current_time() - began
            assert reads <= seconds / MAX_DELAY_SECONDS + 2
            # Another process's commit is found by one of these reads.
            await writer.append("a/1", some(1))
            with anyio.fail_after(DEADLINE):
                await came.wait()
            assert received == [2]
            stop.set()
            tasks.cancel_scope.cancel()


async def test_an_own_commit_ends_the_back_off(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.changes._wake_up_back_off.MAX_DELAY_SECONDS", 3_600.0)
    monkeypatch.setattr("eventstore.changes._wake_up_back_off.FIRST_DELAY_SECONDS", 3_600.0)
    async with EventStore.open(lasting_url, notify="none", poll=7_200) as store:
        subscription = store.subscribe_changes()
        await store.append("a/1", some(1))
        await take(subscription, 1)
        received: list[int] = []
        tail = store.feed.tail

        async def follow() -> None:
            received.extend(positions(await take(subscription, 1)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for number in range(1, FREE_FALSE_WAKE_UPS + 1):
                await anyio.wait_all_tasks_blocked()
                store.feed.wake(ABSURD)

                def read(number: int = number) -> bool:
                    return tail.back_off.false_wake_ups >= number

                await signalled(tail.read_done, read)
            store.feed.wake(ABSURD)
            await anyio.wait_all_tasks_blocked()
            await store.append("a/1", some(1))
        assert received == [2]


def batch(store: EventStore, position: int) -> CommitBatch:
    event = store_event(position + 1)
    return CommitBatch(Cursor(store.feed.log.newest.log_id, position, b"lost" * 8), (event,))


def store_event(position: int) -> Any:
    from eventstore import Event

    return Event(position, "a/1", 1, "T", position, b"x" * 16, 0, b"1", b"", 1, b"l" * 32)


async def test_batches_of_a_lost_branch_are_dropped_after_one_read(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(lasting_url, notify="none", poll=3600) as store:
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
        # What came out of order is waited for no longer.
        waited = "eventstore.changes._tail_buffer.OUT_OF_ORDER_SECONDS"
        monkeypatch.setattr(waited, 2 * DEADLINE)
        for number in range(3, 33):
            await store.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [number]


@pytest.mark.promise("slow-follower")
async def test_the_inbox_of_a_busy_loop_is_bounded_and_reports_an_overflow() -> None:
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
