"""Followers that wait: one of them looks at the log, and the others need not."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

import anyio
import pytest
from support.logs import some
from support.postgres import shared_server
from support.redis import shared_redis
from support.waiting import eventually, take

from eventstore import EventStore

pytestmark = pytest.mark.anyio

POLL = 0.1
STORES = 10


@pytest.fixture(params=["redis", "signed redis", "listen"])
def notify(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """Name a notifier, and its keys."""
    redis = shared_redis().url
    return {
        "redis": (redis, []),
        "signed redis": (redis, ["the key that the fleet shares"]),
        "listen": ("postgres", []),
    }[request.param]


async def seconds_of_looks(notify: str, keys: list[str]) -> float:
    """Return how long ten stores that wait take for 15 looks at the log, all together."""
    url = shared_server().fresh_schema()
    async with AsyncExitStack() as stack:
        make = partial(EventStore.open, url, notify=notify, notify_keys=keys, poll=POLL)
        stores = [await stack.enter_async_context(make()) for _ in range(STORES)]
        await stores[0].append("a/1", some(1))
        async with anyio.create_task_group() as tasks:
            for store in stores:
                subscription = await stack.enter_async_context(store.subscribe_changes())
                await take(subscription, 1)
                tasks.start_soon(take, subscription, 1)

            async def looked(count: int) -> float:
                begin, goal = time.monotonic(), count + sum(store.tail.reads for store in stores)

                async def done() -> bool:
                    return sum(store.tail.reads for store in stores) >= goal

                await eventually(done)
                return time.monotonic() - begin

            await looked(STORES)
            seconds = await looked(15)
            tasks.cancel_scope.cancel()
    return seconds


async def test_of_stores_that_hear_each_other_one_looks(notify: tuple[str, list[str]]) -> None:
    assert await seconds_of_looks(*notify) > 2 * await seconds_of_looks("none", [])
