"""The same load for minutes: memory, descriptors, threads and connections must stay flat.

``python -m benchmarks.steady [--seconds 600]``. 20 subscriptions in 5 processes and a writer on
PostgreSQL with events inline by Redis. Sampled each 5 s, over all followers; the medians of the
second and of the last tenth are compared. Ends with status 1 where something grew.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from benchmarks.data import STREAMS, new_events
from benchmarks.processes import Child
from benchmarks.servers import KEY, Servers, servers
from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

PROCESSES: Final = 5
EACH: Final = 4
"""Followers in each process."""
SAMPLE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.01
MEMORY_GROWTH: Final = 1.05
"""How much more memory is still flat; everything else must not be more at all."""


def sample(children: Sequence[Child], running: Servers) -> dict[str, float]:
    """Return what the followers, all together, and the servers have now."""
    places = [Path(f"/proc/{child.pid}") for child in children]
    return {
        "memory, MB": sum(child.private_bytes() for child in children) / 1e6,
        "highest RSS, MB": max(child.resident_bytes() for child in children) / 1e6,
        "descriptors": sum(len(list((place / "fd").iterdir())) for place in places),
        "threads": sum(len(list((place / "task").iterdir())) for place in places),
        "PostgreSQL connections": running.connections(),
        "Redis connections": running.redis_connections(),
    }


async def run(seconds: float) -> list[dict[str, float]]:
    """Write and follow for so long; return the samples."""
    samples: list[dict[str, float]] = []
    with servers() as running, ExitStack() as stack:
        notify = running.redis.url
        async with EventStore.open(running.url, notify=notify, notify_keys=[KEY]) as store:
            await store.append("a/1", [NewEvent("Made", 0)])
            children = [
                stack.enter_context(Child("crowd", running.url, EACH, notify, KEY))
                for _ in range(PROCESSES)
            ]
            end = time.monotonic() + seconds

            async def write() -> None:
                number = 0
                while time.monotonic() < end:
                    number += 1
                    await store.append(STREAMS[number % 64], new_events(1 + number % 5))
                    await anyio.sleep(PAUSE_SECONDS)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                while time.monotonic() < end:
                    await anyio.sleep(SAMPLE_SECONDS)
                    samples.append(await anyio.to_thread.run_sync(sample, children, running))
            mark = (await store.append("a/1", [NewEvent("Mark", 0)])).position
            for child in children:
                child.await_word(mark)
            print(f"{mark:,} events in {seconds:.0f} s, all received by {PROCESSES * EACH}")
    return samples


def judge(samples: Sequence[dict[str, float]]) -> bool:
    """Print the second and the last tenth of the samples; return whether all was flat."""
    tenth = max(1, len(samples) // 10)
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    flat = True
    for name in samples[0]:
        before = statistics.median(one[name] for one in early)
        after = statistics.median(one[name] for one in late)
        grew = after > before * (MEMORY_GROWTH if name.endswith("MB") else 1)
        flat = flat and not grew
        most = max(one[name] for one in samples)
        print(f"{name}: {before:.1f} → {after:.1f}, highest {most:.1f}{' GREW' if grew else ''}")
    return flat


def main() -> None:
    """Run it and say whether all was flat."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steady", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    seconds = parser.parse_args().seconds
    if not judge(anyio.run(run, seconds)):
        sys.exit(1)


if __name__ == "__main__":
    main()
