"""Own the source "main" and keep a forked child beside. Argument: URL."""

from __future__ import annotations

import asyncio
import os

from eventstore import EventStore
from programs.common import run, say
from projections.rules.sources.lease import SourceLock


async def main(url: str) -> None:
    lock = SourceLock(EventStore.open(url), "main")
    assert lock.try_acquire()
    if os.fork() == 0:
        os.read(0, 1)
        os._exit(0)
    say("forked")
    await asyncio.Event().wait()


if __name__ == "__main__":
    run(main)
