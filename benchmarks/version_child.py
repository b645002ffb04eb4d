"""The work that :mod:`benchmarks.versions` times, run by the interpreter of each version.

It uses public names only, and imports nothing else of this package, so that every released
version can run it. Each line of stdin names a task; each line of stdout has its figures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STREAMS = [f"tune/{number:04d}" for number in range(64)]
READ = 60_000


def payload(number: int) -> dict[str, Any]:
    """Return about 250 bytes of JSON."""
    return {
        "number": number,
        "name": f"value {number}",
        "tags": ["alpha", "beta", "gamma"],
        "where": {"host": "node-1", "path": "/var/lib/things", "line": number % 1000},
        "note": "x" * 100,
    }


def events(count: int) -> list[NewEvent]:
    """Return new events."""
    return [NewEvent("Tuned", payload(number)) for number in range(count)]


async def make(_: EventStore, __: EventStore) -> int:
    """Make events of a small dict."""
    for number in range(20_000):
        NewEvent("Tuned", {"number": number, "name": "x"})
    return 20_000


async def singles(store: EventStore, _: EventStore) -> int:
    """Append one event after another."""
    for number in range(500):
        await store.append(STREAMS[number % 64], [NewEvent("Tuned", payload(number))])
    return 500


async def batches(store: EventStore, _: EventStore) -> int:
    """Append 1,000 events per call, making them within the time."""
    for number in range(6):
        await store.append(STREAMS[number % 64], events(1_000))
    return 6_000


async def tasks(store: EventStore, _: EventStore) -> int:
    """Append from 64 tasks at once."""

    async def one(stream: str) -> None:
        for number in range(30):
            await store.append(stream, [NewEvent("Tuned", payload(number))])

    await asyncio.gather(*[one(stream) for stream in STREAMS])
    return 64 * 30


async def reading(_: EventStore, full: EventStore) -> int:
    """Read everything of a log."""
    count = 0
    async for _event in full.read():
        count += 1
    return count


async def waking(store: EventStore, _: EventStore) -> int:
    """Append, and wait each time until a follower of the same store has the event."""
    head = await store.head()
    received = asyncio.Event()

    async def follow() -> None:
        async for _event in store.subscribe_changes(after=head.position):
            received.set()

    follower = asyncio.create_task(follow())
    for number in range(300):
        received.clear()
        await store.append("wake/1", [NewEvent("Tuned", payload(number))])
        await received.wait()
    follower.cancel()
    return 300


TASKS: dict[str, Callable[[EventStore, EventStore], Awaitable[int]]] = {
    task.__name__: task for task in (make, singles, batches, tasks, reading, waking)
}


async def main(folder: Path) -> None:
    """Answer each line of stdin."""
    async with (
        EventStore.open(f"sqlite:///{folder}/log.db") as store,
        EventStore.open(f"sqlite:///{folder}/full.db", notify="none") as full,
    ):
        for number in range(READ // 2_000):
            await full.append(STREAMS[number % 64], events(2_000))
        print("ready", flush=True)
        for line in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            count = await TASKS[line.strip()](store, full)
            figures = [count, time.perf_counter() - wall, time.process_time() - cpu]
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        asyncio.run(main(Path(folder)))
