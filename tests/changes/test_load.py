"""Many followers, slow followers, batched acknowledgements: who pays for what (promise 6)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import all_take, positions, some
from support.waiting import DEADLINE, take, until

from eventstore import EventStore
from eventstore.changes._event_window import SLICE_EVENTS
from eventstore.log.operations import Acknowledge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from eventstore.log.operations import Operation

pytestmark = pytest.mark.anyio


class Gate:
    """Holds the log's writes until it is opened."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.entered = threading.Event(), threading.Event()
        self._write = store._backend.write
        monkeypatch.setattr(store._backend, "write", self._wait)

    def _wait(self, group: Sequence[Operation], tell: Any = None) -> Any:
        self.entered.set()
        self.opened.wait(DEADLINE)
        return self._write(group)


@pytest.fixture
async def store(url: str) -> AsyncIterator[EventStore]:
    """Open a log."""
    async with EventStore.open(url) as store:
        yield store


@pytest.fixture
def gate(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """Hold its writes."""
    return Gate(store, monkeypatch)


@pytest.mark.promise("slow-follower")
async def test_acknowledgements_of_thousands_of_events_are_few(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.store._write_queue.ACK_SECONDS", 3_600.0)
    async with EventStore.open(url) as store:
        await store.append("a/1", some(5000))
        acknowledged: list[int] = []
        write = store._backend.write

        def counting(group: Sequence[Operation], tell: Any = None) -> Any:
            acknowledged.extend(
                operation.cursor.position
                for operation in group
                if isinstance(operation, Acknowledge)
            )
            return write(group)

        monkeypatch.setattr(store._backend, "write", counting)
        async with store.subscribe_changes(consumer="w") as subscription:
            await take(subscription, 5000)
        assert acknowledged == sorted(acknowledged)
        # Every 1,000 events, and once on closing.
        assert 1 <= len(acknowledged) <= 6


@pytest.mark.promise("slow-follower")
async def test_a_follower_that_stands_still_holds_a_slice_and_no_writer(url: str) -> None:
    async with EventStore.open(url) as store:
        await store.append("a/1", some(10))
        slow, fast = store.subscribe_changes(), store.subscribe_changes()
        await take(slow, 1)
        await take(fast, 10)
        for _ in range(20):
            await store.append("a/1", some(300))
            await take(fast, 300)
        assert len(slow._events) <= SLICE_EVENTS
        assert positions(await take(slow, 6009)) == list(range(2, 6011))


@pytest.mark.promise("slow-follower")
async def test_hundreds_of_followers_share_a_few_threads(url: str) -> None:
    before = set(threading.enumerate())
    async with EventStore.open(url) as store, all_take(store, 200, 5):
        for _ in range(5):
            await store.append("a/1", some(1))
            assert len(set(threading.enumerate()) - before) < 40


async def test_followers_leave_the_default_thread_pool_alone(url: str) -> None:
    limiter = anyio.to_thread.current_default_thread_limiter()
    async with EventStore.open(url, poll=0.01) as store, anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(take, store.subscribe_changes(), 1)
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
            assert limiter.borrowed_tokens == 0
        tasks.cancel_scope.cancel()


async def test_an_append_that_waits_in_the_queue_is_withdrawn_when_cancelled(
    store: EventStore, gate: Gate
) -> None:
    queued = some(1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.append, "a/1", some(1))
        await until(gate.entered.is_set)
        with anyio.move_on_after(0.05) as scope:
            await store.append("b/1", queued)
        assert scope.cancelled_caught
        gate.opened.set()
    assert (await store.head()).position == 1
    assert not (await store.append("b/1", queued)).duplicate


async def test_an_append_that_was_running_when_cancelled_is_settled_by_repeating_it(
    store: EventStore, gate: Gate
) -> None:
    running = some(2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.append, "a/1", running)
        await until(gate.entered.is_set)
        tasks.cancel_scope.cancel()
    assert not gate.opened.is_set()
    gate.opened.set()
    again = await store.append("a/1", running)
    assert (again.duplicate, again.position) == (True, 2)
