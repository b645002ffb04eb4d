"""Computing the tables of rules in spite of kills, and what a writer beside it loses."""

from __future__ import annotations

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine, select

from eventstore import NewEvent
from eventstore.sync import EventStore
from projections.rules.tables import rejection_table, rule_table, state_table
from projections.tables.followed import read_cursors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., subprocess.Popen[str]]

BATCH: Final = 65_536
"""Events that a runner applies to the tables of rules at once."""

BATCH_CPU_SECONDS: Final = 0.4
"""The processor time that takes, about."""

TABLES: Final = (rule_table, rejection_table, state_table)
WINDOW_SECONDS: Final = 4.0
TICKS: Final = os.sysconf("SC_CLK_TCK")


def start(role: str, url: str, target: object) -> subprocess.Popen[str]:
    """Start a process of :mod:`benchmarks.rebuilding_child`."""
    command = [sys.executable, "-m", "benchmarks.rebuilding_child", role, url, str(target)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def digest(url: str) -> str:
    """Return the SHA-256 of all rows of the tables, by their keys, and of the checkpoint."""
    engine, found = create_engine(url.replace("postgresql://", "postgresql+psycopg://")), sha256()
    with engine.connect() as connection:
        for table in TABLES:
            rows = connection.execute(select(table).order_by(*table.primary_key)).all()
            found.update(repr([tuple(row) for row in rows]).encode())
    engine.dispose()
    found.update(repr(read_cursors(url)).encode())
    return found.hexdigest()


def resume(url: str, target: str, events: int, kills: int) -> list[int]:
    """Compute the tables and kill that at random places; return how far each process came.

    Each kill waits until the tables are past a place, and then for a part of the processor time
    that a batch takes.
    """
    chance = random.Random(7)
    last = max(0, events - 3 * BATCH)
    reached: list[int] = []
    for place in sorted(chance.randrange(last + 1) for _ in range(kills)):
        with start("resume", url, target) as process:
            assert process.stdout is not None
            at = 0
            while at < place and (line := process.stdout.readline().split())[:1] == ["at"]:
                at = int(line[1])
            until = cpu_seconds(process.pid) + chance.uniform(0, BATCH_CPU_SECONDS)
            while process.poll() is None and cpu_seconds(process.pid) < until:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
            rest = [int(line.split()[1]) for line in process.stdout if line.startswith("at")]
        if process.returncode != -signal.SIGKILL:
            raise RuntimeError("a process ended before its kill: take more events")
        reached.append(rest[-1] if rest else at)
    with start("resume", url, target) as process:
        process.communicate()
    if process.returncode:
        raise RuntimeError("the last process failed")
    return reached


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, dead or alive, until it is waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def beside(role: str, url: str, target: object) -> Iterator[Callable[[], float]]:
    """Run a process until it is killed; give what returns its processor time so far."""
    with start(role, url, target) as process:

        def cpu() -> float:
            return cpu_seconds(process.pid)

        try:
            while cpu() < 1.0:  # It has started, and is at work.
                time.sleep(0.05)
            yield cpu
        finally:
            process.kill()


def append_for(store: EventStore, seconds: float) -> float:
    """Append one event after the other; return how many a second."""
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        store.append("writer/1", [NewEvent("Written", {"number": count})])
        count += 1
    return count / (time.monotonic() - began)


def writers(url: str, target: str, rounds: int) -> None:
    """Append alone, beside a rebuild, and beside a process that uses as much of the processor."""
    alone, rebuilt, burnt = [], [], []
    with EventStore.open(url) as store:
        for _ in range(rounds):
            alone.append(append_for(store, WINDOW_SECONDS))
            with beside("rebuild-on", url, target) as cpu:
                used = cpu()
                rebuilt.append(append_for(store, WINDOW_SECONDS))
                share = min(1.0, (cpu() - used) / WINDOW_SECONDS)
            with beside("burn", url, share):
                burnt.append(append_for(store, WINDOW_SECONDS))
    ratios = [one / other for one, other in zip(rebuilt, burnt, strict=True)]
    print(f"a writer alone {statistics.median(alone):,.0f} appends/s")
    print(f"beside a rebuild {statistics.median(rebuilt):,.0f} (worst {min(rebuilt):,.0f})")
    print(
        f"beside as much processor time {statistics.median(burnt):,.0f} (worst {min(burnt):,.0f})"
    )
    print(
        f"beside a rebuild / beside that {statistics.median(ratios):.2f} (worst {min(ratios):.2f})"
    )
