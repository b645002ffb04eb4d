"""Appending: results, positions, durability, exact round trips (promises 1 and 2)."""

from typing import Any
from uuid import UUID

import pytest
from support.logs import some
from support.waiting import collect

from eventstore import EventStore, NewEvent
from eventstore.testing import START_US, FakeClock

pytestmark = pytest.mark.anyio


@pytest.mark.any_past
async def test_absent_metadata_is_an_empty_object(store: EventStore, start: int) -> None:
    await store.append("a/1", [NewEvent("T", 1), NewEvent("T", 1, metadata={})])
    assert [event.metadata for event in await collect(store.read(after=start))] == [{}, {}]


async def test_recorded_time_never_runs_backwards(
    store: EventStore, clock: FakeClock, start: int
) -> None:
    for step in (5, -10, 3, -1_000_000, 7):
        clock.now_us += step
        await store.append("a/1", some(1))
    times = [event.recorded_us for event in await collect(store.read(after=start))]
    assert times == sorted(times)
    assert times[0] == START_US + 5


@pytest.mark.any_past
async def test_the_caller_may_change_its_values_afterwards(store: EventStore, start: int) -> None:
    given: dict[str, Any] = {"list": [1]}
    new = NewEvent("T", given, metadata=given)
    given["list"].append(2)
    await store.append("a/1", [new])
    (event,) = await collect(store.read(after=start))
    event.data["list"].append(3)
    event.metadata["list"].append(3)
    assert event.data == event.metadata == {"list": [1]}


@pytest.mark.any_past
async def test_an_id_is_kept_in_the_form_it_was_given(store: EventStore, start: int) -> None:
    given = [
        "order-1", "é", "x" * 255, str(UUID(int=0)), str(UUID(int=2**128 - 1)),
        str(UUID(int=2**127)).upper(), UUID(int=7).hex, f"{{{UUID(int=8)}}}",
    ]  # fmt: skip
    await store.append("a/1", [NewEvent("T", 1, id=one) for one in given])
    assert [event.id for event in await collect(store.read(after=start))] == given


async def test_ids_default_to_time_ordered_ones(store: EventStore) -> None:
    await store.append("a/1", some(50))
    ids = [event.id for event in await collect(store.read())]
    assert ids == sorted(ids)
    assert {UUID(one).version for one in ids} == {7}


@pytest.mark.any_past
async def test_a_large_event_comes_back_whole(store: EventStore, start: int) -> None:
    big = bytes(range(256)) * 4096 * 4
    await store.append("a/1", [NewEvent("T", big)])
    (event,) = await collect(store.read(after=start))
    assert event.data == big
