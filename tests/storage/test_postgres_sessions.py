"""How many sessions a store has on PostgreSQL, and that none is left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import positions, some
from support.waiting import eventually, take

from eventstore import EventStore

if TYPE_CHECKING:
    from support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


def sessions(postgres: Server, name: str) -> int:
    """Return how many sessions call themselves so."""
    rows = postgres.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", name
    )
    return int(rows[0][0])


@pytest.mark.slow
@pytest.mark.promise("slow-follower")
async def test_a_hundred_followers_use_ten_connections_at_the_most(
    postgres: Server, url: str
) -> None:
    named = f"{url}&application_name=hundred"
    most = 0
    async with EventStore.open(named) as store, anyio.create_task_group() as tasks:

        async def count() -> None:
            nonlocal most
            while True:
                found = await anyio.to_thread.run_sync(sessions, postgres, "hundred")
                most = max(most, found)

        async def follow() -> None:
            assert positions(await take(store.subscribe_changes(), 60)) == list(range(1, 61))

        tasks.start_soon(count)
        async with anyio.create_task_group() as followers:
            for _ in range(100):
                followers.start_soon(follow)
            for _ in range(20):
                await store.append("a/1", some(3))
        tasks.cancel_scope.cancel()
    assert 3 <= most <= 10


async def test_nothing_is_left_once_a_store_is_closed(postgres: Server, url: str) -> None:
    before = set(threading.enumerate())
    async with EventStore.open(f"{url}&application_name=closing") as store:
        subscription = store.subscribe_changes()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, subscription, 40)
            for _ in range(40):
                await store.append("a/1", some(1))
        assert sessions(postgres, "closing") >= 3

    async def gone() -> bool:
        left = {thread.name for thread in set(threading.enumerate()) - before}
        threads = {name for name in left if name.startswith("eventstore")}
        return not threads and sessions(postgres, "closing") == 0

    await eventually(gone)


async def test_a_connection_that_was_ended_is_replaced_and_the_others_are_kept(
    postgres: Server, url: str
) -> None:
    async with EventStore.open(f"{url}&application_name=ended", notify="none") as store:
        for number in range(1, 4):
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(store.head)
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'ended'"
            )
            # Neither waits nor fails: the writer and the readers each find out by themselves.
            assert (await store.append("a/1", some(1))).position == number
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(store.head)
        assert sessions(postgres, "ended") <= 9
