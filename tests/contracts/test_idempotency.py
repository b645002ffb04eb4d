"""Appending the same facts again (promise 4)."""

from dataclasses import replace

import pytest
from support.logs import some

from eventstore import (
    NO_STREAM,
    DuplicateEventError,
    EventStore,
    InvalidInputError,
    NewEvent,
    StreamWrite,
)

pytestmark = pytest.mark.anyio


async def test_a_retry_of_append_many_returns_every_version(store: EventStore) -> None:
    await store.append("a/1", some(2))
    writes = [StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1), NO_STREAM)]
    first = await store.append_many(writes)
    await store.append_many([StreamWrite("b/1", some(1)), StreamWrite("a/1", some(1))])
    assert await store.append_many(writes) == replace(first, duplicate=True)
    assert first.versions == {"a/1": 4, "b/1": 1}


async def test_events_of_two_earlier_calls_are_refused(store: EventStore, start: int) -> None:
    one, two = some(1), some(1)
    await store.append("a/1", one)
    await store.append("a/1", two)
    with pytest.raises(DuplicateEventError, match="more than one earlier call"):
        await store.append("a/1", [*one, *two])
    assert (await store.head()).position == start + 2


async def test_the_same_id_twice_in_one_call_is_refused(store: EventStore, start: int) -> None:
    event = NewEvent("T", 1, id="x")
    with pytest.raises(InvalidInputError):
        await store.append_many([StreamWrite("a/1", [event]), StreamWrite("b/1", [event])])
    assert (await store.head()).position == start
