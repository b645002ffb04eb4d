"""Export, trim, restore or import a log again and again; say the number of each time.

Arguments: URL, what to do, and the folder of files that it needs.
"""

from __future__ import annotations

import os

from eventstore import EventStore, NewEvent
from programs.common import run, say


async def once(store: EventStore, what: str, url: str, folder: str, number: int) -> None:
    if what == "export":
        await store.export(f"{folder}/out", replace=True)
    elif what == "trim":
        first = (await store.head()).first_position
        await store.trim(first + 700, archive=f"{folder}/{number}-{os.getpid()}")
        await store.append("a/1", [NewEvent("T", i) for i in range(700)])
    elif what == "restore":
        await EventStore.restore(f"{folder}/{number % 2}.copy", url, replace=True)


async def main(url: str, what: str, folder: str) -> None:
    say("ready")
    async with EventStore.open(url) as store:
        if what == "import":
            say(0)
            await store.import_from(f"{folder}/in.export")
            return
        for number in range(10_000):
            say(number)
            await once(store, what, url, folder, number)


if __name__ == "__main__":
    run(main)
