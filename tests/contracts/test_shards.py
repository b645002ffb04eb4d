"""Several followers that share the work: each stream is one of theirs, as a whole."""

from __future__ import annotations

import pytest
from support.logs import data, positions, some
from support.waiting import collect

from eventstore import EventStore, InvalidInputError, NewEvent, StreamWrite

pytestmark = pytest.mark.anyio


async def fill(store: EventStore) -> None:
    for number in range(60):
        await store.append_many(
            [
                StreamWrite(f"job/{number * step % 23}", [NewEvent("Done", number)])
                for step in (1, 2)
            ]
            if number % 23
            else [StreamWrite("job/0", some(2))]
        )


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_together_they_get_everything_once_and_in_order(
    store: EventStore, count: int
) -> None:
    await fill(store)
    parts = [
        await collect(store.subscribe_changes(shard=(index, count), follow=False))
        for index in range(count)
    ]
    everything = await collect(store.read())
    assert sorted((event for part in parts for event in part), key=lambda e: e.position) == (
        everything
    )
    assert all(positions(part) == sorted(positions(part)) for part in parts)
    owners = [{event.stream for event in part} for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners))
    assert count < 3 or all(parts)


async def test_a_stream_belongs_to_the_same_part_on_every_machine(store: EventStore) -> None:
    for number in range(8):
        await store.append(f"job/{number}", [NewEvent("Done", number)])
    # CRC-32 of the name, by the number of parts.
    first = await collect(store.subscribe_changes(shard=(0, 3), follow=False))
    assert data(first) == [number for number in range(8) if CRC[number] % 3 == 0]


CRC = [158558251, 2121554109, 3883731207, 2423929233,
       236891186, 2031721636, 3759197470, 2534931848]  # fmt: skip


async def test_a_part_of_a_commit_has_the_commit_s_cursor(store: EventStore) -> None:
    await fill(store)
    commits = store.subscribe_changes(shard=(1, 3), follow=False).commits()
    ends = {event.position: event.hash for event in await collect(store.read())}
    async for cursor, events in commits:
        assert {event.commit for event in events} == {cursor.position}
        assert cursor.hash == ends[cursor.position]


async def test_a_part_without_work_still_advances(store: EventStore, start: int) -> None:
    await store.append("job/1", some(5))
    for index in range(2):
        async with store.subscribe_changes(
            after=start, shard=(index, 2), follow=False
        ) as subscription:
            await collect(subscription)
            assert subscription.position == start + 5


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0), (0,), "01", 3, (0.0, 2), (True, 2)])
@pytest.mark.any_past
async def test_what_is_no_part_is_refused(store: EventStore, shard: object) -> None:
    with pytest.raises(InvalidInputError):
        store.subscribe_changes(shard=shard)  # type: ignore[arg-type]
