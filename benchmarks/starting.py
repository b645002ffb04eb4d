"""How long the command line takes to say something."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from typing import Final

from benchmarks.measure import Row, Setting

ROUNDS: Final = 20


async def starting(setting: Setting) -> list[Row]:
    """Start commands in turn: processor time and wall time of each, its children's included: ms.

    The floor is Python that does nothing. The log of ``status`` is a local one without events.
    """
    log = f"sqlite:///{setting.folder / 'log.db'}"
    command = ["-m", "eventstore.cli"]
    _run([*command, "init", "--url", log])
    ways = {
        "floor: Python": ["-c", "pass"],
        "ours, --help": [*command, "--help"],
        "ours, --version": [*command, "--version"],
        "ours, status": [*command, "status", "--url", log],
    }
    samples: dict[tuple[str, str], list[float]] = {}
    for turn in range(setting.scaled(ROUNDS) + 1):
        for name, words in ways.items():
            for unit, taken in zip(("ms", "cpu ms"), _run(words), strict=True):
                if turn:
                    samples.setdefault((name, unit), []).append(taken)
    return [
        Row("starting", name, unit, statistics.median(taken), max(taken))
        for (name, unit), taken in samples.items()
    ]


def _run(words: list[str]) -> tuple[float, float]:
    """Run Python to its end; return wall time and processor time in milliseconds."""
    began, before = time.perf_counter(), _cpu_seconds()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) * 1e3, (_cpu_seconds() - before) * 1e3


def _cpu_seconds() -> float:
    """Return the processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
