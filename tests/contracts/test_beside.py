"""Tables beside the log and queries of projections: ``query``, ``transact``, ``transact_later``."""

from __future__ import annotations

from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import insert, text
from support.event_tables import event_table
from support.logs import some
from support.waiting import DEADLINE

from eventstore import EventStore, StorageError, StoreClosedError
from projections.tables.access_times import AccessTimes, ProjectionWithAccessTimes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import Event
    from eventstore.log.operations import Head
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio

seen_table = event_table("seen")


class Seen(ProjectionWithAccessTimes):
    """Keeps each position, and the table of times beside it."""

    name = "seen"
    metadata = seen_table.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Note the position."""
        connection.execute(insert(seen_table).values(position=event.position))


def count(connection: Any, head: Head) -> tuple[int, int]:
    """Return how many positions the projection has, and how many the log has."""
    return connection.execute(text("SELECT count(*) FROM seen")).scalar_one(), head.position


async def test_a_query_sees_projection_and_head_of_one_moment(url: str) -> None:
    async with EventStore.open(url, inline=[Seen()]) as store:
        assert await store.query(count) == (0, 0)

        async def write() -> None:
            for _ in range(30):
                await store.append("a/1", some(2))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            while (found := await store.query(count)) != (60, 60):
                assert found[0] == found[1]


async def test_a_query_that_fails_says_where(url: str) -> None:
    async with EventStore.open(url) as store:
        with pytest.raises(StorageError, match="nowhere"):
            await store.query(lambda c, _: c.execute(text("SELECT 1 FROM nowhere")))
        assert (await store.append("a/1", some(1))).position == 1


async def test_a_transaction_brings_projections_to_the_head(lasting_url: str) -> None:
    async with EventStore.open(lasting_url, inline=[Seen()]) as store:
        async with EventStore.open(lasting_url) as other:
            await other.append("a/1", some(3))
        assert await store.query(count) == (0, 3)
        await store.transact()
        assert await store.query(count) == (3, 3)


async def test_a_transaction_stores_all_of_it_or_nothing(url: str) -> None:
    def write(connection: Any) -> None:
        connection.execute(text("INSERT INTO seen VALUES (77)"))

    def fail(connection: Any) -> None:
        write(connection)
        raise ValueError("no")

    async with EventStore.open(url, inline=[Seen()]) as store:
        with pytest.raises(ValueError, match="no"):
            await store.transact(fail)
        assert await store.query(count) == (0, 0)
        await store.transact(write)
        assert await store.query(count) == (1, 0)


async def test_a_later_transaction_is_done_at_the_latest_by_closing(lasting_url: str) -> None:
    done: list[str] = []
    async with EventStore.open(lasting_url) as store:
        future = store.transact_later(lambda _: done.append("later"))
        await store.aclose()
    wait([future], timeout=DEADLINE)
    assert done == ["later"]
    with pytest.raises(StoreClosedError):
        store.transact_later(lambda _: None)


@pytest.mark.promise("registry")
async def test_times_are_kept_beside_the_log(lasting_url: str, clock: FakeClock) -> None:
    def stored(connection: Any, _: Head) -> dict[str, int]:
        rows = connection.execute(text("SELECT key, at_us FROM touched WHERE kind = 'bot'"))
        return {row.key: row.at_us for row in rows}

    async with EventStore.open(lasting_url, inline=[Seen()], clock=clock) as store:
        touches = AccessTimes(store, "bot")
        first = touches.record("a")
        clock.now_us += 5
        assert touches.record("b") == first + 5 == touches.newest("b", first)
        assert touches.newest("c", None) is None
    async with EventStore.open(lasting_url, inline=[Seen()], clock=clock) as store:
        assert await store.query(stored) == {"a": first, "b": first + 5}
        assert (await store.head()).position == 0
        touches = AccessTimes(store, "bot")
        clock.now_us -= 100
        touches.record("b")
    async with EventStore.open(lasting_url, inline=[Seen()], clock=clock) as store:
        assert await store.query(stored) == {"a": first, "b": first + 5}
