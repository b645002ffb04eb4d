"""Register bots from eight tasks for some seconds, against another such process; say each call.

Arguments: URL, name of the process, seconds. Each task registers bots of its own, and all of
them race for a few that they share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time

from programs.common import run, say
from projections.registry import Registry


def tell(what: str, bot: str, seconds: float = 0) -> None:
    say(json.dumps([what, bot, seconds]))


async def race(registry: Registry, shared: str, mine: str) -> None:
    if random.random() < 0.5:
        await registry.register(shared, {"by": mine})
        tell("shared", shared)
    elif await registry.unregister(shared):
        tell("removed", shared)


async def work(registry: Registry, me: str, until: float) -> None:
    for number in itertools.count():
        if time.monotonic() >= until:
            return
        begin = time.monotonic()
        mine = f"{me}-{number}"
        config = {"n": number, "text": "x" * (number % 200)}
        await registry.register(mine, config, metadata={"by": me})
        tell("registered", mine, time.monotonic() - begin)
        found = await registry.get_config(mine)
        assert found is not None
        assert found["n"] == number
        await race(registry, f"shared-{number % 3}", mine)
        if number % 3 == 0 and await registry.deactivate(mine):
            tell("deactivated", mine)
        if number % 7 == 0 and await registry.unregister(mine):
            tell("removed", mine)


async def main(url: str, process: str, seconds: str) -> None:
    async with Registry(url) as registry:
        until = time.monotonic() + float(seconds)
        async with asyncio.TaskGroup() as tasks:
            for task in range(8):
                tasks.create_task(work(registry, f"{process}{task}", until))


if __name__ == "__main__":
    run(main)
