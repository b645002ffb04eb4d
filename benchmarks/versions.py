"""Two versions of this project side by side: does the later one take longer?

``python -m benchmarks.versions OTHER_PYTHON`` alternates this interpreter's version with the one
that is installed for OTHER_PYTHON: one process for each, one task at a time, turns exchanged each
round. It prints operations per second of wall time and of processor time, and the median over
rounds of this version divided by the other one: above 1 this version is faster.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import Self

CHILD: Final = Path(__file__).with_name("version_child.py")
TASKS: Final = ("make", "singles", "batches", "tasks", "reading", "waking")


class Version:
    """A process that runs one version's tasks."""

    def __init__(self, python: str, folder: str) -> None:
        self._process = subprocess.Popen(
            [python, str(CHILD), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, task: str) -> tuple[float, float]:
        """Run a task; return operations per second of wall time and of processor time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        count, wall, cpu = json.loads(self._process.stdout.readline())
        return count / wall, count / cpu


def compare(here: Version, other: Version, task: str, rounds: int) -> str:
    """Return a line about one task: both rates, and this version's over the other's."""
    pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for number in range(rounds + 1):
        if number % 2:
            mine, theirs = here.run(task), other.run(task)
        else:
            theirs, mine = other.run(task), here.run(task)
        if number:
            pairs.append((mine, theirs))
    words = [f"{task:8}"]
    for index, unit in enumerate(("s", "cpu s")):
        mine_, theirs_ = ([pair[side][index] for pair in pairs] for side in (0, 1))
        ratios = sorted(a / b for a, b in zip(mine_, theirs_, strict=True))
        words.append(
            f"{statistics.median(mine_):10,.0f} {statistics.median(theirs_):10,.0f} per {unit:5} "
            f"{statistics.median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    return "  ".join(words)


def main() -> None:
    """Compare, and print a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="the interpreter that has the other version")
    parser.add_argument("tasks", nargs="*", default=TASKS, metavar="TASK")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--dir", default=".", help="where the logs are written")
    chosen = parser.parse_args()
    with (
        Version(sys.executable, chosen.dir) as here,
        Version(chosen.python, chosen.dir) as other,
    ):
        for task in chosen.tasks or TASKS:
            print(compare(here, other, task, chosen.rounds), flush=True)


if __name__ == "__main__":
    main()
