"""Store and delete memories from four threads without an end; say each call that returned.

Arguments: URL, directory of files or nothing, a word that begins each content.
"""

from __future__ import annotations

from itertools import count
from threading import Lock, Thread

from programs.common import run, say
from projections.memories import Memory, MemoryStore, Namespace

ONE_AT_A_TIME = Lock()


def tell(*words: object) -> None:
    with ONE_AT_A_TIME:
        say(*words)


def work(memories: MemoryStore, name: str, begin: str) -> None:
    for number in count():
        memories.store(Memory(f"{name}-{number % 7}", f"{begin} {number}", Namespace.LEARNINGS))
        tell("stored", f"{name}-{number % 7}", begin, number)
        if number % 5 == 4 and memories.delete(f"{name}-{(number + 3) % 7}"):
            tell("deleted", f"{name}-{(number + 3) % 7}", begin, number)


async def main(url: str, directory: str, begin: str) -> None:
    memories = MemoryStore(url, directory=directory or None)
    for name in "abcd":
        Thread(target=work, args=[memories, name, begin]).start()


if __name__ == "__main__":
    run(main)
