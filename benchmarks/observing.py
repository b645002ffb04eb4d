"""What metrics cost an append: blocks of appends with and without them, in turn, on one store.

``python -m benchmarks.observing [PAIRS]`` prints for each way to append the ratio of the times
without and with metrics: the median of all pairs, and the worst.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any

import anyio

from eventstore import EventStore, NewEvent

Work = Callable[[EventStore], Awaitable[None]]
Switch = Callable[[EventStore, bool], None]
"""Turns on or off what is measured."""

APPENDS = 96
TASKS = 16


async def one_by_one(store: EventStore) -> None:
    for _ in range(APPENDS):
        await store.append("a/1", [NewEvent("Placed", {"total": 12})])


async def in_groups(store: EventStore) -> None:
    async def some() -> None:
        for _ in range(APPENDS // TASKS):
            await store.append("a/1", [NewEvent("Placed", {"total": 12})])

    async with anyio.create_task_group() as tasks:
        for _ in range(TASKS):
            tasks.start_soon(some)


def count(store: EventStore, counted: bool) -> None:
    writer: Any = store.feed.log.writer
    writer._counts = None  # noqa: SLF001 - no program ends the counting
    if counted:
        writer.count()


async def timed(store: EventStore, work: Work) -> tuple[float, float]:
    """Return the CPU and wall seconds of a block of appends."""
    wall, cpu = perf_counter(), process_time()
    await work(store)
    return process_time() - cpu, perf_counter() - wall


async def ratios(
    store: EventStore, work: Work, pairs: int, switch: Switch
) -> list[tuple[float, float]]:
    """Return for each pair the time of a block without divided by that with what is measured."""
    found = []
    await work(store)
    for at in range(pairs):
        first = bool(at % 2)
        times = {}
        for on in (first, not first):
            switch(store, on)
            times[on] = await timed(store, work)
        (cpu, wall), (with_cpu, with_wall) = times[False], times[True]
        found.append((cpu / with_cpu, wall / with_wall))
    return found


async def report(what: str, pairs: int, switch: Switch) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for name, url in (("memory", "memory://"), ("sqlite", f"sqlite:///{directory}/log.db")):
            for work in (one_by_one, in_groups):
                async with EventStore.open(url, notify="none") as store:
                    cpu, wall = zip(*await ratios(store, work, pairs, switch), strict=True)
                print(
                    f"{name:<7} {work.__name__:<11} without / with {what}: "
                    f"cpu {median(cpu):.3f} (worst {min(cpu):.3f}), "
                    f"wall {median(wall):.3f} (worst {min(wall):.3f})"
                )


if __name__ == "__main__":
    anyio.run(report, "metrics", int(sys.argv[1]) if len(sys.argv) > 1 else 150, count)
