"""Appending: results, positions, durability, exact round trips (promises 1 and 2)."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import anyio
import pytest
from support.logs import ids, positions, some
from support.waiting import collect

from eventstore import Appended, ConflictError, EventStore, NewEvent
from eventstore.testing import START_US, FakeClock

pytestmark = pytest.mark.anyio

EXACT: list[Any] = [
    None, True, False, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -0.0, 1e300, 5e-324,
    "", "\0", "é", "e\u0301", "\U0001f600", "\u2028", "'; --", [], {}, [[]], {"": None},
    {"a": [1, {"b": None}]}, {"é": "z", "a": 1}, "x" * 70_000,
]  # fmt: skip


async def test_an_append_returns_position_version_and_cursor(store: EventStore, start: int) -> None:
    done = await store.append("rule/R1", some(3))
    head = await store.head()
    assert (done.position - start, done.version, done.versions) == (3, 3, {"rule/R1": 3})
    assert done.duplicate is False
    assert done.cursor == head.cursor
    [*_, last] = await collect(store.read(after=start))
    assert (done.recorded_us, done.recorded_at) == (last.recorded_us, last.recorded_at)


@pytest.mark.promise("durable")
async def test_an_append_that_returned_is_seen_by_the_next_read(
    store: EventStore, start: int
) -> None:
    for expected in range(1, 20):
        done = await store.append("a/1", some(1))
        assert positions(await collect(store.read(after=start + expected - 1))) == [done.position]


@pytest.mark.promise("durable")
async def test_an_append_that_returned_is_there_after_reopening(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(3))
        before = await collect(store.read())
    async with EventStore.open(lasting_url) as store:
        assert await collect(store.read()) == before
        assert (await store.append("a/1", some(1))).position == 4


async def test_another_store_on_the_log_sees_an_append_at_once(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as writer, EventStore.open(lasting_url) as reader:
        for position in range(1, 6):
            await writer.append("a/1", some(1))
            assert (await reader.head()).position == position


@pytest.mark.promise("order")
async def test_positions_are_contiguous_whoever_appends(store: EventStore, start: int) -> None:
    results: list[Appended] = []

    async def append_some(stream: str) -> None:
        for count in (1, 3, 2):
            done = await store.append(stream, some(count))
            results.append(done)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(append_some, f"a/{number}")
    events = await collect(store.read(after=start))
    assert positions(events, start) == list(range(1, 61))
    assert {done.position for done in results} == {event.commit for event in events}


async def test_a_call_s_events_are_neighbours_and_share_their_commit(
    store: EventStore, start: int
) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(store.append, f"a/{number}", some(3))
    events = await collect(store.read(after=start))
    for first in range(0, 24, 3):
        call = events[first : first + 3]
        assert {event.stream for event in call} == {call[0].stream}
        assert {event.commit for event in call} == {start + first + 3}
        assert [event.data for event in call] == [0, 1, 2]


async def test_versions_count_each_stream_s_events_from_1(store: EventStore) -> None:
    for _ in range(3):
        await store.append("a/1", some(2))
        await store.append("b/1", some(1))
    for stream, count in (("a/1", 6), ("b/1", 3)):
        events = await collect(store.read_stream(stream))
        assert [event.version for event in events] == list(range(1, count + 1))


@pytest.mark.promise("order")
async def test_a_refused_append_leaves_no_hole(store: EventStore, start: int) -> None:
    await store.append("a/1", some(1))
    with pytest.raises(ConflictError):
        await store.append("a/1", some(5), expected=7)
    assert (await store.append("a/1", some(1))).position == start + 2


@pytest.mark.parametrize("value", EXACT, ids=ids(EXACT))
@pytest.mark.any_past
async def test_json_comes_back_exactly(store: EventStore, value: Any, start: int) -> None:
    small = value[:9] if isinstance(value, str) else value
    await store.append("a/1", [NewEvent("T", value, metadata={"m": small})])
    (event,) = await collect(store.read(after=start))
    assert repr(event.data) == repr(value)
    assert repr(event.metadata) == repr({"m": small})
    assert not event.redacted


@pytest.mark.parametrize("value", [b"", b"\0", b"null", bytes(range(256)), b"\xff\xfe"])
@pytest.mark.any_past
async def test_bytes_come_back_as_the_same_bytes(
    store: EventStore, value: bytes, start: int
) -> None:
    await store.append("a/1", [NewEvent("T", value)])
    (event,) = await collect(store.read(after=start))
    assert event.data == value
    assert type(event.data) is bytes


@pytest.mark.any_past
async def test_absent_metadata_is_an_empty_object(store: EventStore, start: int) -> None:
    await store.append("a/1", [NewEvent("T", 1), NewEvent("T", 1, metadata={})])
    assert [event.metadata for event in await collect(store.read(after=start))] == [{}, {}]


async def test_an_event_is_recorded_at_the_clock_s_time(
    store: EventStore, clock: FakeClock, start: int
) -> None:
    clock.now_us = START_US + 1
    await store.append("a/1", some(1))
    (event,) = await collect(store.read(after=start))
    assert event.recorded_at == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)


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
