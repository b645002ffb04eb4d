"""Processes that wait: one of them polls the log, and the others need not.

``pytest -m soak -s tests/changes/test_idle.py`` counts what fifty processes cost the database.
"""

from __future__ import annotations

import json
import time
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import pytest
from support.fleet import Member, append_end, append_nothing, until
from support.logs import positions, some
from support.postgres import private_server, shared_server
from support.redis import private_redis, shared_redis
from support.waiting import signalled, take

from eventstore import EventStore
from eventstore.changes._poll_schedule import PollSchedule

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def log() -> str:
    """Name a schema with nothing in it."""
    return shared_server().fresh_schema()


@pytest.fixture(params=["redis", "signed redis", "listen"])
def make(request: pytest.FixtureRequest, log: str) -> partial[EventStore]:
    """Open stores on one log, with a notifier and its keys."""
    redis = shared_redis().url
    notify, keys = {
        "redis": (redis, []),
        "signed redis": (redis, ["the key that the fleet shares"]),
        "listen": ("postgres", []),
    }[request.param]
    return partial(EventStore.open, log, notify=notify, notify_keys=keys)


@pytest.mark.slow
@pytest.mark.promise("slow-follower")
async def test_a_process_that_gets_heartbeats_does_not_poll(make: partial[EventStore]) -> None:
    async with AsyncExitStack() as stack:
        often = await stack.enter_async_context(make(poll=0.02))
        rarely = [await stack.enter_async_context(make(poll=0.8)) for _ in range(5)]
        tail = often.feed.tail
        for store in rarely:
            # A second is fifty polls of the other one, however long these take.
            store.feed.tail.schedule = PollSchedule(0.8, lambda: tail.reads * 0.02)
        await often.append("a/1", some(1))
        async with anyio.create_task_group() as tasks:
            for store in (often, *rarely):
                subscription = await stack.enter_async_context(store.subscribe_changes())
                await take(subscription, 1)
                tasks.start_soon(take, subscription, 1)
            await reads(often, 10)
            before = [store.feed.tail.reads for store in rarely]
            await reads(often, 60)  # longer than any of the others waits without a heartbeat
            assert [store.feed.tail.reads for store in rarely] == before
            tasks.cancel_scope.cancel()


async def reads(store: EventStore, count: int) -> None:
    """Return once a store has read the head of its log so often again."""
    tail = store.feed.tail
    goal = tail.reads + count
    await signalled(tail.read_done, lambda: tail.reads >= goal)


@pytest.mark.slow
@pytest.mark.promise("subscription")
async def test_what_one_process_finds_by_polling_reaches_the_others(
    make: partial[EventStore], log: str
) -> None:
    async with (
        EventStore.open(log, notify="none") as writer,
        make(poll=0.05) as polls,
        make(poll=3600) as waits,
        polls.subscribe_changes() as first,
        waits.subscribe_changes() as second,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(take, first, 1000)
        for number in range(1, 4):
            await writer.append("a/1", some(1))
            assert positions(await take(second, 1)) == [number]
        tasks.cancel_scope.cancel()


PROCESSES: Final = 50
SECONDS: Final = 20.0


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "most"), [("redis", 30), ("signed redis", 30), ("postgres", 200), ("none", 100)]
)
def test_what_fifty_processes_that_wait_cost_the_database(
    tmp_path: Path, kind: str, most: int
) -> None:
    keys = ["the key that the fleet shares"] if kind.startswith("signed") else []
    with private_server() as server, private_redis() as redis, ExitStack() as stack:
        url = server.fresh_schema()
        append_nothing(url)
        notify = redis.url if kind.endswith("redis") else kind
        options = json.dumps({"notify": notify, "notify_keys": keys})
        members = []
        for number in range(PROCESSES):
            member = Member("waiting_follower", url, tmp_path / str(number), number, options)
            stack.callback(member.process.communicate)
            stack.callback(member.process.kill)
            members.append(member)
        until(lambda: all(list(member.lines("at")) for member in members), 300)
        time.sleep(5.0)  # until what happens at a start is over
        before, began = transactions(server), time.monotonic()
        time.sleep(SECONDS)
        rate = (transactions(server) - before) / (time.monotonic() - began)
        print(f"\n{PROCESSES} processes that wait, {kind}: {rate:.1f} transactions/s")
        assert rate < most
        append_end(url)
        until(lambda: all(member.last() for member in members), 10)


def transactions(server: Server) -> int:
    """Return how many the server has done, once what it counts has been brought together."""
    time.sleep(1.5)
    query = "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database"
    return int(server.execute(query)[0][0])
