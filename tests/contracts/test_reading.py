"""Reading ranges: filters, directions, limits, many pages."""

from collections.abc import Iterable

import pytest
from support.logs import positions, some
from support.waiting import collect

from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.store._reader import PAGE_EVENTS

pytestmark = pytest.mark.anyio

STREAMS = ("rule/1", "rule/2", "rules/1", "rule/10", "other/rule", "ruld/z", "Rule/1")
TYPES = ("A", "B", "a")


@pytest.fixture
async def filled(store: EventStore, start: int) -> EventStore:
    """Append 42 events, after ``start``: every stream with every type, twice."""
    assert (await store.head()).position == start
    for call in range(6):
        numbers = range(7 * call, 7 * call + 7)
        await store.append_many(
            [StreamWrite(STREAMS[n % 7], [NewEvent(TYPES[n % 3], n)]) for n in numbers]
        )
    return store


RANGES: list[tuple[int, int | None, int | None]] = [
    (0, None, None), (0, 0, None), (41, None, None), (42, None, None), (3, 9, None),
    (9, 3, None), (9, 9, None), (5, 10**30, None), (0, None, 0), (0, None, 1), (10, 20, 4),
    (10, 20, 10), (10, 20, 11), (40, 45, 10**30),
]  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
async def test_a_range_is_open_below_and_closed_above(
    filled: EventStore, backwards: bool, start: int
) -> None:
    for after, until, limit in RANGES:
        expected = [p for p in range(1, 43) if after < p <= (42 if until is None else until)]
        if backwards:
            expected.reverse()
        read = filled.read(
            after=start + after,
            until=None if until is None else start + until,
            limit=limit,
            backwards=backwards,
        )
        assert positions(await collect(read), start) == expected[:limit]


TYPE_FILTERS: list[Iterable[str] | None] = [
    None, {"A"}, ["A", "B"], {"nothing"}, set(), ("a", "a"),
]  # fmt: skip


@pytest.mark.parametrize("streams", [None, "rule/", "rule/1", "other/", "rule/3", "none/"])
async def test_filters_by_stream_and_type_combine(
    filled: EventStore, streams: str | None, start: int
) -> None:
    def matches(number: int, types: Iterable[str] | None) -> bool:
        stream = STREAMS[number % 7]
        if types is not None and TYPES[number % 3] not in types:
            return False
        if streams is None or stream == streams:
            return True
        return streams.endswith("/") and stream.startswith(streams)

    for types in TYPE_FILTERS:
        expected = [n + 1 for n in range(42) if matches(n, types)]
        forwards = filled.read(after=start, streams=streams, types=types)
        assert positions(await collect(forwards), start) == expected
        backwards = filled.read(after=start, streams=streams, types=types, backwards=True)
        assert positions(await collect(backwards), start) == expected[::-1]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("after", "limit"), [(0, None), (4, None), (6, None), (99, None), (1, 2)])
async def test_a_stream_is_read_by_version(
    filled: EventStore, after: int, limit: int | None, backwards: bool, start: int
) -> None:
    events = await collect(
        filled.read_stream("rule/2", after_version=after, limit=limit, backwards=backwards)
    )
    expected = [version for version in range(1, 7) if version > after]
    if backwards:
        expected.reverse()
    assert [event.version for event in events] == expected[:limit]
    assert all(event.position == start + 2 + 7 * (event.version - 1) for event in events)


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
