"""Open a store, fork, and use it in the child, which must not touch it. Arguments: URL, way.

The ways: ``idle``; ``writing``, forked while the writer's thread is in a transaction;
``process``, by multiprocessing; ``preload``, with the parent's event loop at rest, as a server
that forks workers does. Where it can, a child ends as a program does, by ``sys.exit``, so that
everything in it is collected.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import sys
import threading
from typing import Any

from support.uses import everything, not_refused, open_everything

from eventstore import ForkedError, NewEvent
from programs.common import say
from projections.rules.replica import RuleReplica
from projections.sql.store import SqlStorage


def use_all(every: Any, storage: SqlStorage, replica: RuleReplica) -> None:
    """Say which uses are not refused, in the child."""
    asyncio.events._set_running_loop(None)
    found = list(every.uses())
    left = asyncio.run(not_refused(found, ForkedError))
    left += asyncio.run(not_refused([("replica", replica.read)], ForkedError))
    blocking = (storage.open, storage.close, storage.rebuild, storage.connection().__enter__)
    for use in blocking:
        try:
            use()
        except ForkedError:
            continue
        left.append(f"{use} returned")
    say(f"child: {len(found) + len(blocking)} uses, not refused: {left}")
    every.__dict__.clear()
    del every, found
    gc.collect()


class Forks:
    """The ways to fork, each of which waits for the child's end."""

    def __init__(self, every: Any, storage: SqlStorage, replica: RuleReplica) -> None:
        self.things = every, storage, replica
        self.running = asyncio.events._get_running_loop() is not None

    def idle(self) -> None:
        """Fork while nothing is under way."""
        child = os.fork()
        if child == 0:
            use_all(*self.things)
            if self.running:
                os._exit(0)  # asyncio cannot leave a loop that it shares with the parent.
            sys.exit(0)
        say("status", os.waitpid(child, 0)[1])

    def process(self) -> None:
        """Fork by multiprocessing, with the things as arguments."""
        process = multiprocessing.get_context("fork").Process(target=use_all, args=self.things)
        process.start()
        process.join()
        say("status", process.exitcode)

    async def writing(self) -> None:
        """Fork while the writer's thread is in a transaction."""
        every = self.things[0]
        began, forked = threading.Event(), threading.Event()

        def stand_still(_: Any) -> None:
            began.set()
            forked.wait()

        later = asyncio.ensure_future(every.store.transact(stand_still))
        await asyncio.to_thread(began.wait)
        self.idle()
        forked.set()
        await later


async def main(url: str, way: str) -> None:
    async with everything(url) as every:
        storage, replica = SqlStorage(url, notify="none"), RuleReplica("nowhere")
        with storage, storage.connection() as connection:
            connection.execute("SELECT 1").fetchall()
            forks = Forks(every, storage, replica)
            if way == "writing":
                await forks.writing()
            else:
                getattr(forks, way)()
            connection.execute("SELECT 1").fetchall()
        done = await every.store.append("a/1", [NewEvent("T", 6)])
        say("parent", done.position, len([event async for event in every.store.read()]))


def preload(url: str) -> None:
    """Fork while no event loop runs in the parent."""
    loop = asyncio.new_event_loop()
    every = loop.run_until_complete(open_everything(url))
    storage = SqlStorage(url, notify="none").open()
    Forks(every, storage, RuleReplica("nowhere")).idle()
    done = loop.run_until_complete(every.store.append("a/1", [NewEvent("T", 6)]))
    say("parent", done.position, 6)
    storage.close()
    loop.run_until_complete(every.store.aclose())
    loop.close()


if __name__ == "__main__":
    if sys.argv[2] == "preload":
        preload(sys.argv[1])
    else:
        asyncio.run(main(*sys.argv[1:]))
