"""Append from five tasks without an end; say the position and the ids of each call.

Arguments: the log's URL, and a word that begins each id. Batches and several streams run side by
side; the number in an id says how many events its call has.
"""

from __future__ import annotations

import asyncio
from itertools import count

from eventstore import EventStore, StreamWrite
from programs.common import run, say
from programs.numbered_events import numbered_events


async def work(store: EventStore, name: str, begin: str) -> None:
    for number in count():
        new = numbered_events(f"{begin}-{name}", number)
        if name.startswith("many") and len(new) > 1:
            writes = [StreamWrite(f"s/{name}-a", new[:1]), StreamWrite(f"s/{name}-b", new[1:])]
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
