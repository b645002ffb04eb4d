"""Append from five tasks without an end; say the position and the ids of each call.

Arguments: the log's URL, and a word that begins each id. Batches and several streams run side by
side; the number in an id says how many events its call has.
"""

from __future__ import annotations

import asyncio
from itertools import count

from eventstore import EventStore, NewEvent, StreamWrite
from programs.common import run, say


async def work(store: EventStore, name: str, begin: str) -> None:
    for number in count():
        new = [
            NewEvent("T", "x" * number * 40, id=f"{begin}-{name}-{number}-{part}")
            for part in range(number % 5 + 1)
        ]
        if name.startswith("many") and len(new) > 1:
            writes = [
                StreamWrite(f"s/{name}-a", new[:1]),
                StreamWrite(f"s/{name}-b", new[1:]),
            ]
            done = await store.append_many(writes)
        else:
            done = await store.append(f"s/{name}", new)
        say(done.position, *(event.id for event in new))


async def main(url: str, begin: str) -> None:
    async with EventStore.open(url) as store, asyncio.TaskGroup() as tasks:
        for name in ("one", "two", "three", "many1", "many2"):
            tasks.create_task(work(store, name, begin))


if __name__ == "__main__":
    run(main)
