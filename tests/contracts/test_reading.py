"""Reading ranges: filters, directions, limits, many pages."""

import pytest
from support.logs import positions, some
from support.waiting import collect

from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.store._reader import PAGE_EVENTS

pytestmark = pytest.mark.anyio


async def test_a_stream_that_does_not_exist_has_no_events(store: EventStore) -> None:
    assert await collect(store.read_stream("no/such")) == []


async def test_a_read_ends_at_the_head_it_began_with(store: EventStore, start: int) -> None:
    await store.append("a/1", some(3))
    seen = []
    async for event in store.read(after=start):
        seen.append(event.position)
        await store.append("a/1", some(1))
    assert seen == [start + 1, start + 2, start + 3]


async def test_many_pages_are_read_once_each_in_both_directions(
    store: EventStore, start: int
) -> None:
    count = 2 * PAGE_EVENTS + 3
    await store.append_many([StreamWrite("a/1", some(PAGE_EVENTS)), StreamWrite("b/1", some(1))])
    await store.append("a/1", some(count - PAGE_EVENTS - 1))
    everything = list(range(1, count + 1))
    assert positions(await collect(store.read(after=start)), start) == everything
    assert (
        positions(await collect(store.read(after=start, backwards=True)), start) == everything[::-1]
    )
    stream = await collect(store.read_stream("a/1", backwards=True, limit=PAGE_EVENTS + 1))
    newest = range(count - 1, count - PAGE_EVENTS - 2, -1)
    assert [event.version for event in stream] == list(newest)
    assert positions(await collect(store.read(after=start, streams="b/")), start) == [
        PAGE_EVENTS + 1
    ]


async def test_pages_end_early_where_events_are_large(store: EventStore, start: int) -> None:
    for _ in range(3):
        await store.append("a/1", [NewEvent("T", bytes(1_500_000)) for _ in range(5)])
    assert positions(await collect(store.read(after=start)), start) == list(range(1, 16))
    assert positions(await collect(store.read(after=start, backwards=True)), start) == list(
        range(15, 0, -1)
    )


async def test_a_reader_left_half_way_holds_nothing_up(store: EventStore, start: int) -> None:
    await store.append("a/1", some(10))
    for _ in range(20):
        async for _event in store.read(after=start):
            break
    assert (await store.append("a/1", some(1))).position == start + 11


async def test_an_ended_reader_stays_ended(store: EventStore, start: int) -> None:
    await store.append("a/1", some(1))
    reader = store.read(after=start)
    assert positions(await collect(reader), start) == [1]
    await store.append("a/1", some(1))
    assert await collect(reader) == []
