"""Uses a log at two places that are one directory by a bind mount: ``bind_mount DIRECTORY``.

Runs in a mount namespace of its own, so that nothing stays mounted.
"""

import sys
from pathlib import Path

import anyio
from support.logs import positions, some
from support.waiting import collect

from eventstore import EventStore


async def use(first: Path, second: Path) -> None:
    """Append at one place and at the other, also once another mount lies over the first."""
    async with EventStore.open(f"sqlite:///{first}/e.db", notify="none") as one:
        await one.append("a/1", some(1))
        await anyio.run_process(["mount", "--bind", str(first), str(second)])
        async with EventStore.open(f"sqlite:///{second}/e.db", notify="none") as two:
            await two.append("a/1", some(1))
            await one.append("a/1", some(1))
            await anyio.run_process(["mount", "--bind", str(second), str(first)])
            await one.append("a/1", some(1))
            await two.append("a/1", some(1))
            found = [positions(await collect(store.read())) for store in (one, two)]
    print(found)


if __name__ == "__main__":
    places = Path(sys.argv[1], "first"), Path(sys.argv[1], "second")
    for place in places:
        place.mkdir()
    anyio.run(use, *places)
