"""Log a memory whose file is never written: the test kills this process before it would be.

Arguments: URL, directory.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from programs.common import run, say
from projections.memories import Memory, MemoryStore, Namespace
from projections.memories.files import MemoryFiles


def work(url: str, directory: str) -> None:
    with MemoryStore(url, directory=directory) as memories:
        memories.store(Memory("a", "x", Namespace.LEARNINGS))

        async def catch_up(*_: Any) -> None:
            say("logged")
            time.sleep(60)  # noqa: ASYNC251 - the whole process waits to be killed

        MemoryFiles.catch_up = catch_up  # type: ignore[method-assign,assignment]
        memories.store(Memory("b", "x", Namespace.LEARNINGS))


async def main(url: str, directory: str) -> None:
    await asyncio.to_thread(work, url, directory)


if __name__ == "__main__":
    run(main)
