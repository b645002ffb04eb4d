"""A large log beside a small one: what should not depend on how many events came before.

``python -m benchmarks.large DIR`` makes a log of ten million events in DIR, unless there is one,
and one of 12,800, and measures both; DIR is kept. The benchmark ``large`` does so in a directory of
its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from benchmarks.data import new_events
from benchmarks.environment import as_run
from benchmarks.log_maker import BLOCK, STREAM, make_log, stream_name
from benchmarks.measure import Row, latency_rows
from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.measure import Setting

LARGE: Final = 9_996_800
SMALL: Final = 12_800
LARGE_FILE: Final = "large.db"
PLACES: Final = 64
"""Streams, and places of the log, that are appended to and read in turn."""

ROUNDS: Final = 300


@dataclass(frozen=True, slots=True)
class Log:
    """One of both logs, open."""

    path: Path
    events: int
    store: EventStore

    def stream(self, number: int) -> str:
        """Return the name of one of 64 streams, from all over the log."""
        return stream_name(number % PLACES * (self.events // STREAM // PLACES))


async def large(setting: Setting) -> list[Row]:
    """Append, read a stream and a page, open, and resume a consumer: ms, on SQLite.

    Two logs in turn: ten million events and 12,800. The first row of each work is the large one, so
    *first ÷ this* of the second is how many times as long the large one takes. Each of 64 streams,
    and of 64 places of the log, has a turn before those that count: what the large log does not
    have in memory comes from the disk, and that is not the question.
    """
    return await compare(setting.folder, setting.scaled(LARGE), setting.scaled(ROUNDS))


async def compare(folder: Path, count: int, rounds: int) -> list[Row]:
    """Make what is missing, and measure both logs in turn."""
    count = count // BLOCK * BLOCK
    rows, paths = make(folder, count), {count: folder / LARGE_FILE, SMALL: folder / "small.db"}
    make_log(paths[SMALL], SMALL)
    async with AsyncExitStack() as stack:
        logs = [
            Log(path, size, await stack.enter_async_context(EventStore.open(f"sqlite:///{path}")))
            for size, path in paths.items()
        ]
        for work, run in WORK.items():
            samples: dict[str, list[float]] = {f"{log.events:,} events": [] for log in logs}
            for number in range(-PLACES, rounds):
                for log in logs:
                    taken = await run(log, number)
                    if number >= 0:
                        samples[f"{log.events:,} events"].append(taken)
            rows += latency_rows(f"large log, {work}", samples)
        rows.append(await _memory(logs[0]))
    return rows


def make(folder: Path, count: int) -> list[Row]:
    """Make the large log, or what it lacks."""
    seconds = make_log(folder / LARGE_FILE, count)
    return [Row("large log, making", f"up to {count:,} events", "s", seconds, seconds)]


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1e3


async def _open(log: Log, _: int) -> float:
    """Open the log, ask for its head, and close it."""

    async def work() -> None:
        async with EventStore.open(f"sqlite:///{log.path}", notify="none") as store:
            await store.head()

    return await _timed(work)


async def _append(log: Log, number: int, count: int = 1) -> float:
    events, name = new_events(count), log.stream(number)
    return await _timed(lambda: log.store.append(name, events))


async def _read_stream(log: Log, number: int) -> float:
    name = log.stream(number)

    async def work() -> None:
        async for event in log.store.read_stream(name):
            if event.version == STREAM:
                return

    return await _timed(work)


async def _read_page(log: Log, number: int, size: int) -> float:
    after = number % PLACES * (log.events // PLACES)
    after = min(after, log.events - size)

    async def work() -> None:
        async for _ in log.store.read(after=after, until=after + size):
            pass

    return await _timed(work)


async def _resume(log: Log, _: int, behind: int) -> float:
    """Resume a consumer, which gets the last events and stores that it did."""
    start = (await log.store.head()).position - behind

    async def work() -> None:
        changes = log.store.subscribe_changes(consumer="late", after=start, follow=False)
        async with changes:
            async for _ in changes:
                pass

    await work()  # A new name, or the appends of the rounds before.
    await log.store.rewind_consumer("late", to=start)
    return await _timed(work)


WORK: Final[dict[str, Callable[[Log, int], Awaitable[float]]]] = {
    "open": _open,
    "append": _append,
    "append 100": partial(_append, count=100),
    "read a stream of 100": _read_stream,
    "read a page of 1,000": partial(_read_page, size=1_000),
    "resume a consumer, 200 behind": partial(_resume, behind=200),
}


async def _memory(log: Log, events: int = 500_000) -> Row:
    """Read so many events in order; return how much more memory the process had."""
    before, most = _resident_mb(), 0.0
    async for event in log.store.read(until=events):
        if event.position % 10_000 == 0:
            most = max(most, _resident_mb() - before)
    return Row("large log, memory", f"reading {events:,} events in order", "MB more", most, most)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4_096 / 1e6


def main() -> None:
    """Measure in a directory that is kept."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("folder", type=Path, help="where both logs are, or are made: 8 GB")
    parser.add_argument("--events", type=int, default=LARGE, help="of the large log")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only-make", action="store_true", help="measure nothing")
    parser.add_argument("--json", action="store_true", help="for the page of figures")
    asked = parser.parse_args()
    if asked.only_make:
        rows = make(asked.folder, asked.events // BLOCK * BLOCK)
    else:
        rows = anyio.run(compare, asked.folder, asked.events, asked.rounds)
    if asked.json:
        json.dump(as_run(rows, quick=False), sys.stdout, indent=1)
        return
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:8.2f}"
        p99 = "" if row.p99 is None else f"{row.p99:9.3f}"
        print(
            f"{row.benchmark:45} {row.name:36} {row.unit:8} "
            f"{row.median:9.3f} {p99:>9} {row.worst:9.3f} {ratio}"
        )


if __name__ == "__main__":
    main()
