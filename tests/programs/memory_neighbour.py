"""Store forty memories in a directory that another process uses too. Arguments: URL, directory."""

from __future__ import annotations

import asyncio
from pathlib import Path

from programs.common import await_line, run, say
from projections.memories import Memory, MemoryStore, Namespace


def work(url: str, root: Path) -> None:
    with MemoryStore(url, directory=root) as memories:
        memories.store(Memory("theirs-0", "x", Namespace.LEARNINGS))
        say("ready")
        await_line()
        for number in range(1, 40):
            memories.store(Memory(f"theirs-{number}", "x", Namespace.LEARNINGS))
            assert (root / f"theirs-{number}.json").exists()
    say("done")


async def main(url: str, directory: str) -> None:
    await asyncio.to_thread(work, url, Path(directory))


if __name__ == "__main__":
    run(main)
