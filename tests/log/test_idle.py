"""Followers that wait: one of them looks at the log, and the others need not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import anyio
import pytest
from support.logs import positions, some
from support.postgres import shared_server
from support.redis import shared_redis
from support.waiting import eventually, take

from eventstore import EventStore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["redis", "signed redis", "listen"])
def notify(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """Name a notifier, and its keys."""
    redis = shared_redis().url
    return {
        "redis": (redis, []),
        "signed redis": (redis, ["the key that the fleet shares"]),
        "listen": ("postgres", []),
    }[request.param]


async def test_who_hears_that_another_has_looked_does_not_look(
    notify: tuple[str, list[str]],
) -> None:
    url = shared_server().fresh_schema()
    make = partial(EventStore.open, url, notify=notify[0], notify_keys=notify[1])
    async with AsyncExitStack() as stack:
        often = await stack.enter_async_context(make(poll=0.02))
        rarely = [await stack.enter_async_context(make(poll=0.8)) for _ in range(5)]
        await often.append("a/1", some(1))
        async with anyio.create_task_group() as tasks:
            for store in (often, *rarely):
                subscription = await stack.enter_async_context(store.subscribe_changes())
                await take(subscription, 1)
                tasks.start_soon(take, subscription, 1)
            await looks(often, 10)
            before = [store.tail.reads for store in rarely]
            await looks(often, 60)  # longer than any of the others waits without having heard
            assert [store.tail.reads for store in rarely] == before
            tasks.cancel_scope.cancel()


async def looks(store: EventStore, count: int) -> None:
    """Return once a store has looked at its log so often again."""
    goal = store.tail.reads + count

    async def done() -> bool:
        return store.tail.reads >= goal

    await eventually(done)


async def test_what_one_process_finds_by_itself_it_tells_the_others(
    notify: tuple[str, list[str]],
) -> None:
    url = shared_server().fresh_schema()
    make = partial(EventStore.open, url, notify=notify[0], notify_keys=notify[1])
    async with (
        EventStore.open(url, notify="none") as writer,
        make(poll=0.05) as looks,
        make(poll=3600) as waits,
        looks.subscribe_changes() as first,
        waits.subscribe_changes() as second,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(take, first, 1000)
        for number in range(1, 4):
            await writer.append("a/1", some(1))
            assert positions(await take(second, 1)) == [number]
        tasks.cancel_scope.cancel()
