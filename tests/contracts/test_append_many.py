"""Several streams in one commit: all of it, or nothing."""

import anyio
import pytest
from support.logs import positions, some
from support.waiting import collect

from eventstore import NO_STREAM, EventStore, NewEvent, StreamWrite
from eventstore.errors import ConflictError, InvalidInputError

pytestmark = pytest.mark.anyio


async def test_the_streams_share_one_commit_in_the_order_given(
    store: EventStore, start: int
) -> None:
    done = await store.append_many(
        [StreamWrite("b/1", some(2)), StreamWrite("a/1", some(1)), StreamWrite("c/1", some(1))]
    )
    events = await collect(store.read(after=start))
    assert [event.stream for event in events] == ["b/1", "b/1", "a/1", "c/1"]
    assert {event.commit for event in events} == {start + 4}
    assert done.versions == {"b/1": 2, "a/1": 1, "c/1": 1}
    assert (done.position - start, done.version) == (4, 1)


@pytest.mark.promise("durable")
@pytest.mark.parametrize("wrong", [0, 1, 2])
async def test_one_conflict_leaves_nothing_of_the_others(
    store: EventStore, wrong: int, start: int
) -> None:
    writes = [
        StreamWrite(f"a/{number}", some(2), 5 if number == wrong else NO_STREAM)
        for number in range(3)
    ]
    with pytest.raises(ConflictError) as caught:
        await store.append_many(writes)
    assert caught.value.stream == f"a/{wrong}"
    assert await collect(store.read(after=start)) == []
    assert (await store.append("a/0", some(1), expected=NO_STREAM)).position == start + 1


@pytest.mark.promise("order")
async def test_no_reader_sees_a_part_of_a_commit(store: EventStore, start: int) -> None:
    finished = anyio.Event()

    async def write() -> None:
        for _ in range(30):
            await store.append_many([StreamWrite("a/1", some(3)), StreamWrite("b/1", some(4))])
        finished.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        while not finished.is_set():
            assert len(await collect(store.read(after=start))) % 7 == 0
            assert ((await store.head()).position - start) % 7 == 0


async def test_crossing_appends_to_two_streams_both_go_through(
    store: EventStore, start: int
) -> None:
    async def write(first: str, second: str) -> None:
        for _ in range(10):
            await store.append_many([StreamWrite(first, some(1)), StreamWrite(second, some(1))])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write, "a/1", "b/1")
        tasks.start_soon(write, "b/1", "a/1")
    assert positions(await collect(store.read(after=start)), start) == list(range(1, 41))


async def test_a_stream_named_twice_is_refused(store: EventStore) -> None:
    with pytest.raises(InvalidInputError, match="twice"):
        await store.append_many([StreamWrite("a/1", some(1)), StreamWrite("a/1", some(1))])


async def test_nothing_to_write_is_refused(store: EventStore, start: int) -> None:
    with pytest.raises(InvalidInputError):
        await store.append_many([])
    with pytest.raises(InvalidInputError):
        await store.append_many([StreamWrite("a/1", some(1)), StreamWrite("b/1", [])])
    assert (await store.head()).position == start


async def test_the_next_position_follows_a_refused_batch(store: EventStore) -> None:
    with pytest.raises(ConflictError):
        await store.append_many([StreamWrite("a/1", some(9), expected=1)])
    assert (await store.append("a/1", [NewEvent("T", 1)])).versions == {"a/1": 1}
