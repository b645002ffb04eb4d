"""Rules at scale: 1,000 and 10,000 ``ttp`` files, from the directory to the engines."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio

from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.processes import QUIET_SECONDS, RULE, Child, rule_path, write_rules
from eventstore import EventStore, NewEvent, StreamWrite
from projections.rules import RuleState, RuleStore, RuleSync
from projections.rules.events import RULE_STATE_SET, STATES
from projections.rules.model import encode_state

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

SIZES: Final = {1_000: 7, 10_000: 3}
"""Rules in a directory, and rounds that count with so many."""

WORKERS: Final = 4
SAMPLES: Final = 300
MEMORY_EVENTS: Final = 100_000
BATCH: Final = 1_000


def _rows(benchmark: str, samples: dict[str, list[float]]) -> list[Row]:
    # Rows that do different work have no ratio.
    return [replace(row, ratio=None) for row in latency_rows(benchmark, samples)]


async def syncing(setting: Setting) -> list[Row]:
    """Bring a log in line with a directory, and start a worker on it: ms.

    Cold: an empty log, to the end of the commit. Rescan: nothing has changed, seen by the
    same RuleSync and by a fresh one, which reads the log and every file. Load: a log is
    opened and its rules are compiled; first change: and one that was appended after that is
    there, without a notifier. Worker process: from its start until it says that it follows.
    """
    rows: list[Row] = []
    for size, rounds in SIZES.items():
        folder = setting.folder / f"rules{size}"
        write_rules(folder, range(size))
        samples: dict[str, list[float]] = {}
        for at in range(1 + (1 if setting.quick else rounds)):
            url = f"sqlite:///{setting.folder / f'log{size}-{at}.db'}"
            taken = await _start_up(url, folder)
            for name, milliseconds in taken.items():
                if at:  # The first round warms up.
                    samples.setdefault(name, []).append(milliseconds)
        rows += _rows(f"{size:,} rules", samples)
    return rows


async def _start_up(url: str, folder: Path) -> dict[str, float]:
    taken: dict[str, float] = {}
    async with EventStore.open(url) as store:
        sync = RuleSync(store, folder)
        taken["cold sync"] = await _timed(sync.sync_once)
        # Past the age under which a file is hashed again.
        await anyio.sleep(0.1)
        await sync.sync_once()
        taken["rescan, same RuleSync"] = await _timed(sync.sync_once)
        taken["rescan, fresh RuleSync"] = await _timed(RuleSync(store, folder).sync_once)
    taken |= await _restart(url)
    began = time.monotonic_ns()
    with Child("engine", url):
        taken["worker process"] = (time.monotonic_ns() - began) / 1e6
    return taken


async def _restart(url: str) -> dict[str, float]:
    """Load as a worker does, then take the first change."""
    taken = {}
    async with EventStore.open(url, notify="none") as other:
        began = time.monotonic_ns()
        async with EventStore.open(url, notify="none") as store:
            rules = RuleStore(store)
            await rules.load_compiled()
            taken["load"] = (time.monotonic_ns() - began) / 1e6
            await RuleStore(other).set_state("R0001", RuleState("disabled"), "ana")
            first = anext(rules.subscribe_changes())
            taken["load, first change"] = taken["load"] + await _timed(lambda: first)
    return taken


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.monotonic_ns()
    await work()
    return (time.monotonic_ns() - began) / 1e6


async def swapping(setting: Setting) -> list[Row]:
    """Edit one rule file; time until an engine has swapped its table: ms.

    A master process follows the directory, a worker process follows the log and builds a
    new table per commit. The clock starts before the first byte is written.
    """
    samples: dict[str, list[float]] = {}
    for size in SIZES:
        folder = setting.folder / f"rules{size}"
        url = f"sqlite:///{setting.folder / f'log{size}.db'}"
        write_rules(folder, range(size))
        with Child("master", url, folder), Child("engine", url) as engine:
            await anyio.sleep(2 * QUIET_SECONDS)
            samples[f"of {size:,} rules"] = [
                await _edit(folder, engine, random.randrange(size), at)
                for at in range(1, setting.scaled(SAMPLES) + 1)
            ]
    return _rows("edit → swapped", samples)


async def _edit(folder: Path, engine: Child, number: int, edit: int) -> float:
    path = rule_path(folder, number)
    began = time.monotonic_ns()
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(RULE.format(number=number, edit=edit))
    temporary.replace(path)
    arrived = engine.await_word(f"Saved as number {edit}.")
    # At no multiple of any timer's period, and after the followers are done with this change.
    await anyio.sleep(random.uniform(0.04, 0.08))
    return (arrived - began) / 1e6


async def silencing(setting: Setting) -> list[Row]:
    """Set one rule's state; time until four workers in processes of their own have it: ms.

    *Each* is over all four of them, *slowest* over the last of the four to hear.
    """
    samples: dict[str, list[float]] = {}
    for size in SIZES:
        url = f"sqlite:///{setting.folder / f'log{size}.db'}"
        folder = setting.folder / f"rules{size}"
        write_rules(folder, range(size))
        async with EventStore.open(url) as store:
            await RuleSync(store, folder).sync_once()
            with ExitStack() as stack:
                engines = [stack.enter_context(Child("engine", url)) for _ in range(WORKERS)]
                await anyio.sleep(QUIET_SECONDS)
                taken = [
                    await _set(RuleStore(store), engines, random.randrange(size), at)
                    for at in range(setting.scaled(SAMPLES))
                ]
        samples[f"each of {WORKERS}, {size:,} rules"] = [one for four in taken for one in four]
        samples[f"slowest of {WORKERS}, {size:,} rules"] = [max(four) for four in taken]
    return _rows("state → workers", samples)


async def _set(rules: RuleStore, engines: list[Child], number: int, at: int) -> list[float]:
    state = RuleState("disabled", reason=f"noisy {at}")
    began = time.monotonic_ns()
    await rules.set_state(f"R{number:04d}", state, "ana")
    taken = [(engine.await_word(state.reason) - began) / 1e6 for engine in engines]
    await anyio.sleep(random.uniform(0.04, 0.08))
    return taken


async def memory(setting: Setting) -> list[Row]:
    """Send 100,000 events past a worker process of 1,000 rules: its resident memory, MB.

    *Worst* is the highest of what was seen after each batch of 1,000.
    """
    size, url = min(SIZES), f"sqlite:///{setting.folder / 'log.db'}"
    folder = setting.folder / "rules"
    write_rules(folder, range(size))
    count = setting.scaled(MEMORY_EVENTS)
    async with EventStore.open(url) as store:
        await RuleSync(store, folder).sync_once()
        with Child("engine", url) as engine:
            # What a first pass over all rules allocates for good is no growth.
            seen = [engine.resident_bytes()]
            for batch in _states(count, size):
                await store.append_many(batch)
                engine.await_word(f"batch {len(seen)}")
                seen.append(engine.resident_bytes())
    tenth = len(seen) // 10
    marks = {"at its start": seen[:1], f"after {tenth * BATCH:,}": seen[1 : tenth + 1]}
    marks[f"after {count:,}"] = seen[tenth + 1 :]
    return [
        Row("a worker's memory", name, "MB", values[-1] / 1e6, max(values) / 1e6)
        for name, values in marks.items()
    ]


def _states(count: int, rules: int) -> Iterator[list[StreamWrite]]:
    for batch in range(count // BATCH):
        state = encode_state(RuleState("disabled", reason=f"batch {batch + 1}"))
        yield [
            StreamWrite(
                f"{STATES}R{number:04d}",
                [NewEvent(RULE_STATE_SET, {"rule_id": f"R{number:04d}", "state": state})],
            )
            for number in (at % rules for at in range(BATCH))
        ]
