"""Publishing rules: into a directory, and to workers."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.processes import RULE, rule_path, write_rules
from eventstore import EventStore
from projections import DirectoryProjection
from projections.rules import RuleStore, RuleSync

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from eventstore import Cursor, Event

RULES: Final = 3_780
EDITS: Final = 100
ROUNDS: Final = 5
DEFINED: Final = 1_000


FORMS: Final = {
    "ours": {},
    "ours, atomic": {"atomic": True, "grace_seconds": 1e-9},
    "ours, atomic, within the grace period": {"atomic": True, "grace_seconds": 3_600.0},
}
"""The forms of a directory: the second has an earlier generation that becomes the next one, the
third gives each file another name."""


async def publishing_10000(setting: Setting) -> list[Row]:
    """Do what :func:`publishing` does with 10,000 rules."""
    return await publishing(setting, 10_000)


async def publishing(setting: Setting, count: int = RULES) -> list[Row]:
    """Publish 3,780 rules in an empty directory, then one at a time that changed: ms.

    The floor of the first is the same files, each written under another name, fsynced and renamed.
    """
    folder, rules = setting.folder, setting.folder / "rules"
    write_rules(rules, range(count))
    async with EventStore.open(f"sqlite:///{folder / 'log.db'}", notify="none") as store:
        sync = RuleSync(store, rules)
        await sync.sync_once()
        whole: dict[str, list[float]] = {"ours": [], "ours, atomic": []}
        floor = whole["floor: write, fsync, rename"] = []
        for turn in range(1 if setting.quick else ROUNDS):
            events, cursor = await _since(store, 0)
            for name in ("ours", "ours, atomic"):
                published = _open(folder / f"{name} {turn}", name, cursor)
                whole[name].append(_apply(published, events, cursor))
                published.close()
            floor.append(_copy(rules, folder / f"copy{turn}"))
        one = await _one_at_a_time(setting, store, sync)
    return [
        *latency_rows(f"{count:,} rules published", whole),
        *latency_rows(f"one rule of {count:,} published", one),
    ]


async def _one_at_a_time(
    setting: Setting, store: EventStore, sync: RuleSync
) -> dict[str, list[float]]:
    """Publish an edit in directories of all forms, one after another; return the times of each."""
    events, cursor = await _since(store, 0)
    kept = {name: _open(setting.folder / name, name, cursor) for name in FORMS}
    for published in kept.values():
        published.apply(events, cursor)
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for at in range(1, setting.scaled(EDITS) + 2):
        content = RULE.format(number=at % RULES, edit=at)
        rule_path(setting.folder / "rules", at % RULES).write_text(content)
        await sync.sync_once()
        events, cursor = await _since(store, cursor.position)
        for name, published in kept.items():
            taken = _apply(published, events, cursor)
            if at > 1:  # The first edit makes what the next ones begin with.
                times[name].append(taken)
    for published in kept.values():
        published.close()
    return times


def _open(root: Path, form: str, cursor: Cursor) -> DirectoryProjection:
    how: dict[str, Any] = FORMS[form]
    published = DirectoryProjection(root, **how)
    published.open(cursor.log_id)
    return published


async def _since(store: EventStore, after: int) -> tuple[list[Event], Cursor]:
    events = [event async for event in store.read(after=after)]
    return events, (await store.head()).cursor


def _apply(published: DirectoryProjection, events: Sequence[Event], cursor: Cursor) -> float:
    began = time.perf_counter()
    published.apply(events, cursor)
    return (time.perf_counter() - began) * 1e3


def _copy(rules: Path, target: Path) -> float:
    contents = [(path.name, path.read_bytes()) for path in sorted(rules.iterdir())]
    target.mkdir()
    began = time.perf_counter()
    for name, content in contents:
        temporary = target / f".{name}.tmp"
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target / name)
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return (time.perf_counter() - began) * 1e3


async def definitions(setting: Setting) -> list[Row]:
    """Define 1,000 rules in one commit; how often a worker that follows reads the log for them."""
    rules, url = setting.folder / "rules", f"sqlite:///{setting.folder / 'log.db'}"
    write_rules(rules, range(DEFINED))
    reads: list[float] = []
    async with (
        EventStore.open(url, notify="none") as store,
        EventStore.open(url, notify="none") as other,
    ):
        sync = RuleSync(store, rules)
        worker = RuleStore(other)
        await sync.sync_once()
        await worker.load_compiled()
        commits = worker.subscribe_commits()
        for turn in range(1, setting.rounds + 1):
            for number in range(DEFINED):
                rule_path(rules, number).write_text(RULE.format(number=number, edit=turn))
            await sync.sync_once()
            with _counted(other) as counted:
                changes = await anext(commits)
            if len(changes) != DEFINED:
                raise ValueError(f"a commit of {DEFINED} gave {len(changes)} changes")
            reads.append(counted["reads"])
    name = f"definitions of a commit of {DEFINED:,}"
    return [Row(name, "ours, one worker", "reads", sorted(reads)[len(reads) // 2], max(reads))]


@contextmanager
def _counted(store: EventStore) -> Iterator[dict[str, int]]:
    """Count the snapshots that a store reads from."""
    backend: Any = store._log.backend  # noqa: SLF001 - what it reads is the question
    snapshot, counted = backend._snapshot, {"reads": 0}  # noqa: SLF001

    def counting(*args: Any, **kwargs: Any) -> Any:
        counted["reads"] += 1
        return snapshot(*args, **kwargs)

    backend._snapshot = counting  # noqa: SLF001
    try:
        yield counted
    finally:
        del backend._snapshot  # noqa: SLF001
