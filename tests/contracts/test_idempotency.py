"""Appending the same facts again (promise 4)."""

from dataclasses import replace

import anyio
import pytest
from support.logs import positions, some
from support.waiting import collect

from eventstore import (
    NO_STREAM,
    Appended,
    DuplicateEventError,
    EventStore,
    InvalidInputError,
    NewEvent,
    StreamWrite,
)

pytestmark = pytest.mark.anyio


@pytest.mark.promise("idempotent")
async def test_a_retry_returns_the_first_result_and_stores_nothing(
    store: EventStore, start: int
) -> None:
    events = some(3)
    first = await store.append("a/1", events, expected=NO_STREAM)
    await store.append("a/1", some(4))
    again = await store.append("a/1", events, expected=NO_STREAM)
    assert again == replace(first, duplicate=True)
    assert (await store.head()).position == start + 7


@pytest.mark.promise("idempotent")
async def test_ids_are_checked_before_the_expected_version(store: EventStore) -> None:
    events = some(1)
    await store.append("a/1", events, expected=NO_STREAM)
    assert (await store.append("a/1", events, expected=99)).duplicate


async def test_a_retry_of_append_many_returns_every_version(store: EventStore) -> None:
    await store.append("a/1", some(2))
    writes = [StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1), NO_STREAM)]
    first = await store.append_many(writes)
    await store.append_many([StreamWrite("b/1", some(1)), StreamWrite("a/1", some(1))])
    assert await store.append_many(writes) == replace(first, duplicate=True)
    assert first.versions == {"a/1": 4, "b/1": 1}


@pytest.mark.promise("idempotent")
async def test_racing_retries_store_the_events_once(store: EventStore, start: int) -> None:
    events = some(2)
    results: list[Appended] = []

    async def append() -> None:
        results.append(await store.append("a/1", events, expected=NO_STREAM))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(append)
    assert sum(not done.duplicate for done in results) == 1
    assert {done.position for done in results} == {start + 2}
    assert positions(await collect(store.read(after=start)), start) == [1, 2]


async def test_a_retry_is_recognised_after_reopening(lasting_url: str) -> None:
    events = [NewEvent("T", 1, id="order-1"), NewEvent("T", b"x")]
    async with EventStore.open(lasting_url) as store:
        first = await store.append("a/1", events)
    async with EventStore.open(lasting_url) as store:
        assert await store.append("a/1", events) == replace(first, duplicate=True)


@pytest.mark.promise("idempotent")
async def test_known_and_new_events_together_are_refused(store: EventStore, start: int) -> None:
    known = some(1)
    await store.append("a/1", known)
    before = await store.head()
    with pytest.raises(DuplicateEventError) as caught:
        await store.append("a/1", [*known, *some(1)])
    assert (caught.value.ids, caught.value.positions) == ((known[0].id,), (start + 1,))
    assert await store.head() == before


async def test_events_of_two_earlier_calls_are_refused(store: EventStore, start: int) -> None:
    one, two = some(1), some(1)
    await store.append("a/1", one)
    await store.append("a/1", two)
    with pytest.raises(DuplicateEventError, match="more than one earlier call"):
        await store.append("a/1", [*one, *two])
    assert (await store.head()).position == start + 2


@pytest.mark.promise("idempotent")
@pytest.mark.parametrize(
    ("stream", "event"),
    [
        ("a/1", NewEvent("T", 2, id="x", metadata={"m": 1})),
        ("a/1", NewEvent("U", 1, id="x", metadata={"m": 1})),
        ("a/1", NewEvent("T", 1, id="x", metadata={"m": 2})),
        ("a/1", NewEvent("T", 1, id="x")),
        ("a/1", NewEvent("T", b"1", id="x", metadata={"m": 1})),
        ("a/2", NewEvent("T", 1, id="x", metadata={"m": 1})),
    ],
    ids=["data", "type", "metadata", "no metadata", "bytes", "stream"],
)
async def test_a_known_id_with_other_content_is_refused(
    store: EventStore, stream: str, event: NewEvent, start: int
) -> None:
    await store.append("a/1", [NewEvent("T", 1, id="x", metadata={"m": 1})])
    with pytest.raises(DuplicateEventError) as caught:
        await store.append(stream, [event])
    assert caught.value.ids == ("x",)
    assert (await store.head()).position == start + 1


async def test_the_same_id_twice_in_one_call_is_refused(store: EventStore, start: int) -> None:
    event = NewEvent("T", 1, id="x")
    with pytest.raises(InvalidInputError):
        await store.append_many([StreamWrite("a/1", [event]), StreamWrite("b/1", [event])])
    assert (await store.head()).position == start
