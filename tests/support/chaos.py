"""Processes that are killed with -9 again and again, and what they leave behind."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from signal import SIGKILL
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from support import forked
from support.commands import command, environment
from support.processes import words as program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

USEFUL_LIVES: Final = 0.8
"""The share of lives that end only once the process has come further."""
ROWS: Final = """SELECT e.position, s.name, e.type, e.data, e.recorded_us, e.hash
FROM event e JOIN stream s ON s.id = e.stream_id WHERE e.position > ? ORDER BY e.position"""


class Row(NamedTuple):
    """One event as its row says."""

    position: int
    stream: str
    type: str
    data: Any
    recorded_us: int
    hash: bytes


def query(path: Path, statement: str, *values: object) -> list[Any]:
    """Read from a database with nothing of the library."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(statement, values).fetchall()


def rows(path: Path, after: int = 0) -> list[Row]:
    """Read the log."""
    found = query(path, ROWS, after)
    return [Row._make([*row[:3], json.loads(row[3]), *row[4:]]) for row in found]


def master(url: str, root: Path) -> list[str]:
    """Name the command that follows a directory of rules, and ends states on time."""
    return command("--url", url, "sync", str(root), "--source", "chaos")


@dataclass
class Mortal:
    """A process that is killed at random moments and started again.

    ``words`` gives the command of each life by its number, once the one before is dead;
    ``reached`` says how far the process has come, as a number that grows.
    """

    name: str
    words: Callable[[int], list[str]]
    reached: Callable[[], int]
    folder: Path
    dice: Random
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0
    kills: int = 0
    ends: list[int] = field(default_factory=list)

    def start(self) -> None:
        """Begin the next life."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = forked.start(
                self.words(self.lives),
                cwd=self.folder,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.lives += 1

    def kill(self) -> None:
        """End this life with -9; note how it ended where it had ended before."""
        if self.process is not None:
            self.process.kill()
            self.ends.append(self.process.wait())
            self.process = None

    async def live(self, edits: Callable[[], int], longest: int, stop: anyio.Event) -> None:
        """Be killed again and again until ``stop``; then one last time, and live.

        A life lasts for at most ``longest`` edits of files. Most lives also last until the
        process has come further, however long it takes to start; the others may end before.
        """
        while not stop.is_set():
            goal = edits() + self.dice.randint(1, longest)
            begin = self.reached() if self.dice.random() < USEFUL_LIVES else -1
            while not stop.is_set() and (edits() < goal or self.reached() == begin):  # noqa: ASYNC110
                await anyio.sleep(0.02)  # Files of other processes have no event to wait for.
            self.kill()
            self.kills += 1
            self.start()

    def check(self) -> None:
        """Fail where a process ended by itself."""
        log = (self.folder / f"{self.name}.log").read_text()
        assert set(self.ends) == {-SIGKILL}, f"{self.name} ended by itself: {log[-2000:]}"


@contextmanager
def running(mortals: list[Mortal]) -> Iterator[None]:
    """Start processes, and end them in any case."""
    try:
        for mortal in mortals:
            mortal.start()
        yield
    finally:
        for mortal in mortals:
            mortal.kill()


class Lives:
    """What the lives of one worker saw, each in a file of its own."""

    def __init__(self, folder: Path, name: str, log: Path) -> None:
        self._folder = folder
        self.name = name
        self._log = log
        self.stored: list[int] = []

    def words(self, url: str, life: int) -> list[str]:
        """Name the command of a life, and note where the log will let it begin."""
        self.stored.append(self._cursor())
        return program("noting_worker", url, self.name, self._file(life))

    def seen(self, life: int) -> list[tuple[int, str]]:
        """Return position and hash of what a life saw; a line cut by the kill is none."""
        if not (file := self._file(life)).exists():
            return []
        lines = file.read_text().splitlines(keepends=True)
        pairs = [line.split() for line in lines if line.endswith("\n")]
        return [(int(position), hash_) for position, hash_ in pairs]

    def reached(self) -> int:
        """Return the last position that the latest life saw."""
        seen = self.seen(len(self.stored) - 1)
        return seen[-1][0] if seen else self._cursor()

    def check(self, log: list[Row]) -> int:
        """Check every life against the log; return how many events came again at worst."""
        reached = worst = 0
        for life, start in enumerate(self.stored):
            seen = self.seen(life)
            # What the log had stored had been seen, and at most 1,000 events had not been.
            assert start <= reached <= start + 1000
            if not seen:
                continue
            assert [pair[0] for pair in seen] == list(range(start + 1, start + 1 + len(seen)))
            assert seen == [(row.position, row.hash.hex()) for row in log[start : seen[-1][0]]]
            worst, reached = max(worst, reached - start), max(reached, seen[-1][0])
        assert reached == len(log)
        return worst

    def _cursor(self) -> int:
        if not self._log.exists():
            return 0
        found = query(self._log, "SELECT position FROM consumer WHERE name = ?", self.name)
        return int(found[0][0]) if found else 0

    def _file(self, life: int) -> Path:
        return self._folder / f"{self.name}-{life:04}.seen"
