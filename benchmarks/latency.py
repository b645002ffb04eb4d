"""From a saved file, or an append, to a follower in another process."""

from __future__ import annotations

import hashlib
import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio

from benchmarks.data import STREAMS, new_events
from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.processes import QUIET_SECONDS, RULE, Child, rule_path, write_rules
from benchmarks.uma import UmaDB, uma_db
from eventstore import EventStore
from eventstore.system.directory_watch import STEP_MS
from projections.rules.sources.debounce import DebounceTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Save: TypeAlias = "Callable[[Path, bytes], None]"

RULES: Final = 100
SAMPLES: Final = 300
TURN: Final = 20
"""Samples in a row before the other contestant has its turn."""


def rename(path: Path, content: bytes) -> None:
    """Save as careful editors do: a hidden temporary file, then a rename over the old one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def in_place(path: Path, content: bytes) -> None:
    """Save as simple editors do: truncate and write."""
    path.write_bytes(content)


async def saving(setting: Setting) -> list[Row]:
    """Save one of 100 rule files; time until another process has the change: ms.

    The clock starts before the first byte is written. Ours: a master process
    (``RuleSync.run``) commits it, a follower process (``subscribe_changes``) has the event.
    The floor: one process with plain watchfiles at the same step has read the file. Counted
    in: one debounce time for ours, one watch step for the floor.
    """
    folder = setting.folder
    url = f"sqlite:///{folder / 'log.db'}"
    ours, floor = folder / "rules", folder / "floor"
    for one in (ours, floor):
        write_rules(one, range(RULES))
    ways: dict[Save, dict[str, list[float]]] = {rename: {}, in_place: {}}
    debounce = f"debounce {DebounceTimes().whole * 1e3:.0f} ms"
    with ExitStack() as stack:
        stack.enter_context(Child("master", url, ours))
        follower = stack.enter_context(Child("follower", url))
        watcher = stack.enter_context(Child("watcher", floor))
        sides = {
            f"ours ({debounce})": (follower, ours),
            f"floor: watchfiles (1 step of {STEP_MS} ms)": (watcher, floor),
        }
        await anyio.sleep(QUIET_SECONDS)
        for turn in range(setting.scaled(SAMPLES) // TURN or 1):
            for save, samples in ways.items():
                for name, (child, place) in sides.items():
                    samples.setdefault(name, []).extend(_save_some(child, place, save, turn))
    titles: dict[Save, str] = {
        rename: "saved by rename → received",
        in_place: "saved in place → received",
    }
    return [row for save, samples in ways.items() for row in latency_rows(titles[save], samples)]


def _save_some(
    child: Child, folder: Path, save: Save, turn: int, rules: int = RULES
) -> list[float]:
    taken = []
    for at in range(TURN):
        number = random.randrange(rules)
        edit = f"{save.__name__} {turn}.{at}"
        content = RULE.format(number=number, edit=edit).encode()
        began = time.monotonic_ns()
        save(rule_path(folder, number), content)
        arrived = child.await_word(hashlib.sha256(content).hexdigest())
        taken.append((arrived - began) / 1e6)
        # At no multiple of any timer's period, and after the followers are done with this change.
        time.sleep(random.uniform(0.04, 0.08))
    return taken


async def waking(setting: Setting) -> list[Row]:
    """Append one event; time until a follower in another process has it: ms.

    The clock starts before ``append``, whose own duration is the second row. The file
    notifier wakes the follower. UmaDB's follower has a subscription, and its append is as durable.
    The floor: one process with plain watchfiles has read a file that was written in place.
    """
    url, floor = f"sqlite:///{setting.folder / 'log.db'}", setting.folder / "floor"
    write_rules(floor, range(1))
    samples: dict[str, list[float]] = {"ours": [], "ours, until append returns": []}
    async with EventStore.open(url) as store:
        with ExitStack() as stack:
            uma = stack.enter_context(uma_db(setting.folder))
            follower = stack.enter_context(Child("follower", url))
            watcher = stack.enter_context(Child("watcher", floor))
            if uma:
                theirs = stack.enter_context(Child("uma_follower", uma.url))
            await anyio.sleep(QUIET_SECONDS)
            for turn in range(setting.scaled(SAMPLES) // TURN or 1):
                await _append_some(store, follower, samples)
                if uma:
                    samples.setdefault("UmaDB", []).extend(_uma_appends(uma, theirs))
                samples.setdefault("floor: watchfiles, in place", []).extend(
                    _save_some(watcher, floor, in_place, turn, rules=1)
                )
    return latency_rows("append → received", samples)


async def _append_some(store: EventStore, follower: Child, samples: dict[str, list[float]]) -> None:
    for event in new_events(TURN):
        began = time.monotonic_ns()
        done = await store.append(STREAMS[0], [event])
        samples["ours, until append returns"].append((time.monotonic_ns() - began) / 1e6)
        arrived = follower.await_word(done.position)
        samples["ours"].append((arrived - began) / 1e6)
        await anyio.sleep(random.uniform(0.04, 0.08))


def _uma_appends(uma: UmaDB, follower: Child) -> list[float]:
    taken = []
    for _ in range(TURN):
        began = time.monotonic_ns()
        arrived = follower.await_word(uma.append())
        taken.append((arrived - began) / 1e6)
        time.sleep(random.uniform(0.04, 0.08))
    return taken
