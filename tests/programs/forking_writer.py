"""Append, let a forked child open the log for itself and append, and append. Argument: URL."""

from __future__ import annotations

import asyncio
import os

from eventstore import EventStore, NewEvent
from programs.common import run, say


async def append_anew(url: str) -> int:
    async with EventStore.open(url, notify="none") as mine:
        return (await mine.append("a/1", [NewEvent("T", 2)])).position


async def main(url: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", [NewEvent("T", 1)])
        child = os.fork()
        if child == 0:
            asyncio.events._set_running_loop(None)
            say("child", asyncio.run(append_anew(url)))
            os._exit(0)
        os.waitpid(child, 0)  # noqa: ASYNC222 - the loop stands still as it forks
        say("parent", (await store.append("a/1", [NewEvent("T", 3)])).position)


if __name__ == "__main__":
    run(main)
