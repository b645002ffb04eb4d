"""Waiting until named consumers have done a change, and accepted it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import some
from support.waiting import DEADLINE, take

from eventstore import ChangeRejectedError, EventStore, InvalidInputError, NotAppliedError

if TYPE_CHECKING:
    from eventstore import Subscription
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


async def work(store: EventStore, name: str, *, reject: int | None = None) -> None:
    """Follow as a worker does; reject the event at one position."""
    async for event in (subscription := store.subscribe_changes(consumer=name, streams="rule/")):
        if event.position == reject:
            await subscription.reject(event, "no such field")


async def test_it_returns_once_every_consumer_has_done_the_change(store: EventStore) -> None:
    async with anyio.create_task_group() as tasks:
        for name in ("w1", "w2"):
            tasks.start_soon(work, store, name)
        done = await store.append("rule/R1", some(2))
        states = await store.wait_applied(done.position, ["w1", "w2"], timeout=DEADLINE)
        assert [(s.name, s.cursor.position >= done.position) for s in states] == [
            ("w1", True),
            ("w2", True),
        ]
        tasks.cancel_scope.cancel()


async def test_all_that_are_known_are_waited_for_by_default(store: EventStore, start: int) -> None:
    slow = store.subscribe_changes(after=start, consumer="slow")
    await store.append("rule/R1", some(1))
    await take(slow, 1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, store, "quick")
        await store.wait_applied(start + 1, ["quick"], timeout=DEADLINE)
        with pytest.raises(NotAppliedError) as caught:
            await store.wait_applied(start + 1, timeout=0.3)
        assert caught.value.behind == {"slow": start}
        await slow.ack(flush=True)
        await store.wait_applied(start + 1, timeout=DEADLINE)
        tasks.cancel_scope.cancel()


async def test_one_that_was_never_seen_is_named(store: EventStore, start: int) -> None:
    await store.append("rule/R1", some(1))
    with pytest.raises(NotAppliedError, match="ghost was never seen") as caught:
        await store.wait_applied(start + 1, ["ghost"], timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.position, caught.value.behind) == (start + 1, {"ghost": None})


@pytest.mark.parametrize("rejected", [4, 5, 6])
async def test_a_rejection_of_the_commit_ends_the_wait_with_its_reason(
    store: EventStore, rejected: int, start: int
) -> None:
    await store.append("rule/R0", some(3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(work, store, "good")
        tasks.start_soon(lambda: work(store, "bad", reject=start + rejected))
        done = await store.append("rule/R1", some(3))
        with pytest.raises(ChangeRejectedError, match="no such field") as caught:
            await store.wait_applied(done.position, ["good", "bad"], timeout=DEADLINE)
        assert (caught.value.consumer, caught.value.position) == ("bad", start + rejected)
        tasks.cancel_scope.cancel()


async def test_a_rejection_of_something_else_does_not(store: EventStore, start: int) -> None:
    await store.append("rule/R0", some(3))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: work(store, "w", reject=start + 3))
        done = await store.append("rule/R1", some(3))
        await store.wait_applied(done.position, ["w"], timeout=DEADLINE)
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("names", ["w1", [""], [5], 5])
@pytest.mark.any_past
async def test_what_are_no_names_is_refused(store: EventStore, names: object) -> None:
    with pytest.raises(InvalidInputError):
        await store.wait_applied(1, names, timeout=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("timeout", [math.inf, math.nan, -math.inf, -1, 1e9, None, "5", True])
@pytest.mark.any_past
async def test_a_wait_without_an_end_is_refused(store: EventStore, timeout: Any) -> None:
    with pytest.raises(InvalidInputError, match="timeout="):
        await store.wait_applied(1, ["ghost"], timeout=timeout)


async def test_status_tells_how_old_the_first_undone_event_is(
    store: EventStore, clock: FakeClock, start: int
) -> None:
    subscription: Subscription = store.subscribe_changes(after=start, consumer="w")
    await store.append("a/1", some(1))
    await take(subscription, 1)
    await subscription.ack(flush=True)
    clock.now_us += 2_000_000
    await store.append("a/1", some(1))
    clock.now_us += 3_000_000
    await store.append("a/1", some(1))
    (facts,) = (await store.status())["consumers"]
    assert (facts["lag"], facts["lag_seconds"]) == (2, 3.0)
    assert f"{facts['host']}:" in store.owner
