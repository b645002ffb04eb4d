"""Followers that wait: one of them looks at the log, and the others need not."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

import anyio
import pytest
from support.logs import some
from support.postgres import shared_server
from support.redis import shared_redis
from support.waiting import eventually, take

from eventstore import EventStore

pytestmark = pytest.mark.anyio

POLL = 0.2
STORES = 10


@pytest.fixture(params=["redis", "signed redis", "listen", "none"])
def notify(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    """Name a notifier, and its keys."""
    redis = shared_redis().url
    return {
        "redis": (redis, []),
        "signed redis": (redis, ["the key that the fleet shares"]),
        "listen": ("postgres", []),
        "none": ("none", []),
    }[request.param]


async def test_of_stores_that_hear_each_other_one_looks(
    notify: tuple[str, list[str]],
) -> None:
    url = shared_server().fresh_schema()
    async with AsyncExitStack() as stack:
        stores = [
            await stack.enter_async_context(
                EventStore.open(url, notify=notify[0], notify_keys=notify[1], poll=POLL)
            )
            for _ in range(STORES)
        ]
        await stores[0].append("a/1", some(1))
        async with anyio.create_task_group() as tasks:
            for store in stores:
                subscription = await stack.enter_async_context(store.subscribe_changes())
                await take(subscription, 1)
                tasks.start_soon(take, subscription, 1)

            def looks() -> int:
                return sum(store.tail.reads for store in stores)

            async def looked(count: int) -> float:
                begin, before = time.monotonic(), looks()

                async def done() -> bool:
                    return looks() >= before + count

                await eventually(done)
                return time.monotonic() - begin

            await looked(3 * STORES)
            seconds = await looked(2 * STORES)
            tasks.cancel_scope.cancel()
    # Each for itself, they look so often in two rounds; one for all, in twenty.
    if notify[0] == "none":
        assert seconds < 4 * POLL
    else:
        assert seconds > 6 * POLL
