"""The floor: plain ``sqlite3`` on the store's own schema, with rows made ready beforehand.

It runs the statements that the store runs, under the same pragmas and with as many
commits, but checks, hashes and decides nothing.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import uuid_utils

from benchmarks.data import STREAMS, TYPE, payload
from eventstore import EventStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

_INSERT: Final = (
    "INSERT INTO event (position, commit_position, stream_id, version, id, type, content, "
    "data, metadata, recorded_us, salt, digest, hash) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SELECT: Final = (
    "SELECT e.position, s.name, e.version, e.type, e.commit_position, e.id, e.content, "
    "e.data, e.metadata, e.recorded_us, e.hash FROM event e JOIN stream s ON s.id = +e.stream_id "
    "WHERE e.position > ? AND e.position <= ? ORDER BY e.position"
)

ReadyRow = tuple[Any, ...]
"""An event's columns from ``stream_id`` on; the two positions are given as it is written."""


def ready_rows() -> Callable[[int, Sequence[int]], list[ReadyRow]]:
    """Return a maker of rows for numbered streams in turn, hashes and salts left to chance."""
    versions: Counter[int] = Counter()

    def row(at: int, stream_id: int) -> ReadyRow:
        versions[stream_id] += 1
        data = msgspec.json.encode(payload(at))
        return (
            stream_id, versions[stream_id], uuid_utils.uuid7().bytes, TYPE, 0, data, b"",
            1_700_000_000_000_000, os.urandom(16), os.urandom(32), os.urandom(32),
        )  # fmt: skip

    def ready(count: int, streams: Sequence[int]) -> list[ReadyRow]:
        numbers = itertools.islice(itertools.cycle(streams), count)
        return [row(at, number + 1) for at, number in enumerate(numbers)]

    return ready


class PlainLog:
    """A log file that is written and read without the store."""

    def __init__(self, path: Path) -> None:
        self._raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._raw.execute(f"PRAGMA {pragma}")
        self._position = 0
        self.ready = ready_rows()

    @classmethod
    async def create(cls, path: Path) -> PlainLog:
        """Let the store make its schema, and add the streams."""
        async with EventStore.open(f"sqlite:///{path}", notify="none"):
            pass
        log = cls(path)
        rows = [(number, name) for number, name in enumerate(STREAMS, 1)]
        log._raw.executemany("INSERT INTO stream (id, name, version) VALUES (?, ?, 0)", rows)
        return log

    def append(self, rows: Sequence[ReadyRow]) -> None:
        """Write rows in one durable transaction, with every look-up that the store does."""
        run = self._raw.execute
        first, commit = self._position + 1, self._position + len(rows)
        versions = {row[0]: row[1] for row in rows}
        names = [STREAMS[stream_id - 1] for stream_id in versions]
        marks = ", ".join("?" * len(names))
        run("BEGIN IMMEDIATE")
        run("SELECT log_id, first_position, position, recorded_us, hash FROM head").fetchone()
        run(f"SELECT name, id, version FROM stream WHERE name IN ({marks})", names).fetchall()
        run("SELECT max(id) FROM event WHERE id < ?", (b"\xff",)).fetchone()
        self._raw.executemany(
            "UPDATE stream SET version = ? WHERE id = ?",
            [(version, stream_id) for stream_id, version in versions.items()],
        )
        numbered = enumerate(rows, first)
        self._raw.executemany(_INSERT, [(position, commit, *row) for position, row in numbered])
        last = (commit, rows[-1][7], rows[-1][10])
        run("UPDATE head SET position = ?, recorded_us = ?, hash = ?", last)
        run("COMMIT")
        self._position = commit

    def chunks(self, size: int) -> Iterator[list[ReadyRow]]:
        """Yield everything in order of position, with the columns that the store reads."""
        head = self._raw.execute("SELECT position FROM head").fetchone()[0]
        cursor = self._raw.execute(_SELECT, (0, head))
        while rows := cursor.fetchmany(size):
            yield rows

    def close(self) -> None:
        """Release the file."""
        self._raw.close()
