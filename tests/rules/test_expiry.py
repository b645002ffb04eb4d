"""States end on time, once, as events, read or not."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.master import logged
from support.waiting import eventually, take

from eventstore import EventStore, NewEvent, StorageError
from eventstore.log.clock import from_microseconds
from projections.rules import RuleState, RuleStore
from projections.rules.expiry import PendingEnd, StateExpiry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eventstore.log.operations import Page, Query
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio

SECOND = 1_000_000
MALFORMED: list[tuple[str, NewEvent]] = [
    ("rule-state/A", NewEvent("RuleStateSet", None)),
    ("rule-state/A", NewEvent("RuleStateSet", b"\xff")),
    ("rule-state/A", NewEvent("RuleStateSet", {"state": 7})),
    ("rule-state/A", NewEvent("RuleStateSet", {"state": {"state": "on fire"}})),
    ("rule-state/A", NewEvent("RuleStateSet", {"state": {"state": "disabled", "expires_at": "x"}})),
    ("rule-state/A", NewEvent("RuleStateExpired", [])),
]


@pytest.fixture
async def store(log_url: str, clock: FakeClock) -> AsyncIterator[EventStore]:
    """Give a log whose followers look at the clock often."""
    async with EventStore.open(log_url, clock=clock, poll=0.01) as store:
        yield store


@asynccontextmanager
async def expiring(store: EventStore, runners: int = 1) -> AsyncIterator[None]:
    """End states for the block."""
    async with anyio.create_task_group() as tasks:
        for _ in range(runners):
            tasks.start_soon(StateExpiry(store).run)
        yield
        tasks.cancel_scope.cancel()


async def disable(store: EventStore, rule_id: str, seconds: float) -> None:
    """Disable a rule for so many seconds of the store's own clock."""
    until = from_microseconds(store.clock()) + timedelta(seconds=seconds)
    await RuleStore(store).set_state(rule_id, RuleState("disabled", expires_at=until), "ana")


async def expired(store: EventStore) -> list[str]:
    """Return the rules whose state has ended, in that order."""
    return [event.data["rule_id"] for event in await logged(store, "RuleStateExpired")]


async def ended(store: EventStore, *rule_ids: str) -> None:
    """Return once exactly these have ended, in this order."""

    async def so() -> bool:
        return len(await expired(store)) >= len(rule_ids)

    await eventually(so)
    assert await expired(store) == list(rule_ids)


async def test_a_state_ends_on_time_and_not_before(store: EventStore, clock: FakeClock) -> None:
    async with expiring(store):
        await disable(store, "A", 10)
        await disable(store, "B", 5)
        clock.now_us += 5 * SECOND
        await ended(store, "B")  # Had A's been ended early, it would have come first.
        clock.now_us += 5 * SECOND
        await ended(store, "B", "A")


async def test_followers_see_the_default_once_a_state_has_ended(
    store: EventStore, clock: FakeClock
) -> None:
    changes = RuleStore(store).subscribe_changes()
    async with expiring(store):
        await disable(store, "A", 1)
        clock.now_us += SECOND
        first, second = await take(changes, 2)
    assert (first.new_value.state, second.rule_id) == ("disabled", "A")
    assert second.new_value == RuleState()


@pytest.mark.promise("rules")
@pytest.mark.parametrize("runners", [2, 5])
async def test_a_state_ends_once_however_many_run(
    store: EventStore, clock: FakeClock, runners: int
) -> None:
    async with expiring(store, runners):
        for rule_id in ("A", "B", "C"):
            await disable(store, rule_id, 1)
            clock.now_us += SECOND
            await ended(store, *"ABC"[: "ABC".index(rule_id) + 1])
    assert len(await expired(store)) == 3


async def test_a_state_set_again_meanwhile_is_left_alone(
    store: EventStore, clock: FakeClock
) -> None:
    async with expiring(store):
        await disable(store, "A", 10)
        await disable(store, "A", 20)
        await disable(store, "B", 10)
        clock.now_us += 10 * SECOND
        await ended(store, "B")
        assert (await RuleStore(store).get_state("A")).state == "disabled"
        clock.now_us += 10 * SECOND
        await ended(store, "B", "A")


@pytest.mark.parametrize("poison", [one for one in MALFORMED if one[1].type == "RuleStateSet"])
async def test_the_last_good_state_ends_although_a_later_one_cannot_be_used(
    store: EventStore, clock: FakeClock, poison: tuple[str, NewEvent]
) -> None:
    await disable(store, "A", 10)
    await store.append(poison[0], [NewEvent(poison[1].type, poison[1].data)])
    async with expiring(store):
        clock.now_us += 10 * SECOND
        await ended(store, "A")
    assert await RuleStore(store).get_state("A") == RuleState()


async def test_one_that_missed_the_new_state_changes_nothing(
    store: EventStore, clock: FakeClock
) -> None:
    await disable(store, "A", 10)
    (old,) = await logged(store, "RuleStateSet")
    await disable(store, "A", 100)
    clock.now_us += 10 * SECOND
    await StateExpiry(store)._expire("rule-state/A", PendingEnd(0, old, old.version))
    assert await expired(store) == []


async def test_a_state_lifted_by_hand_does_not_end_again(
    store: EventStore, clock: FakeClock
) -> None:
    async with expiring(store):
        await disable(store, "A", 1)
        await RuleStore(store).set_state("A", RuleState("clipped", 0.5), "ana")
        await disable(store, "B", 1)
        clock.now_us += 5 * SECOND
        await ended(store, "B")


@pytest.mark.promise("rules")
async def test_what_fell_due_while_nothing_ran_ends_at_the_next_start(
    tmp_path: Path, clock: FakeClock
) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    async with EventStore.open(url, clock=clock) as store:
        await disable(store, "A", 10)
    clock.now_us += 60 * SECOND
    for _ in range(2):
        async with EventStore.open(url, clock=clock, poll=0.01) as store, expiring(store):
            await ended(store, "A")


@pytest.mark.parametrize(("stream", "event"), MALFORMED)
async def test_a_malformed_state_is_passed_over(
    store: EventStore, clock: FakeClock, stream: str, event: NewEvent
) -> None:
    async with expiring(store):
        await store.append(stream, [event])
        await disable(store, "B", 1)
        clock.now_us += SECOND

        async def b_ended() -> bool:
            events = [e async for e in store.read_stream("rule-state/B")]
            return [e.type for e in events] == ["RuleStateSet", "RuleStateExpired"]

        await eventually(b_ended)
    assert [e.type async for e in store.read_stream("rule-state/A")] == [event.type]


@pytest.mark.promise("rules")
async def test_a_database_that_is_away_puts_it_off(
    store: EventStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, left = store.append, [3]

    async def fail_at_first(*args: Any, **rest: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise StorageError("there", "the server is away", transient=True)
        return await append(*args, **rest)

    until = from_microseconds(clock()) + timedelta(seconds=1)
    await RuleStore(store).set_state("A", RuleState("disabled", expires_at=until), "ana")
    monkeypatch.setattr(store, "append", fail_at_first)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(StateExpiry(store).run)
        clock.now_us += 2_000_000

        async def ended() -> bool:
            return (await store.head()).position == 2

        await eventually(ended)
        tasks.cancel_scope.cancel()
    assert left == [0]


@pytest.mark.parametrize("log_url", ["memory"], indirect=True)
async def test_a_read_that_takes_longer_than_a_poll_is_not_cut_short(
    store: EventStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.feed.pages.page

    async def slow(query: Query) -> Page:
        await anyio.sleep(0.03)
        return await read(query)

    monkeypatch.setattr(store.feed.pages, "page", slow)
    monkeypatch.setattr(store.feed, "poll", 0.001)
    await disable(store, "A", 1)
    clock.now_us += SECOND
    async with expiring(store):
        await ended(store, "A")
