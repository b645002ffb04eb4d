"""A log of millions of events in minutes: rows with a right chain, inserted in bulk.

They are those that as many appends of 100 events would have left, but for their times. A sample of
pages is verified afterwards.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from benchmarks.data import TYPE, payload
from eventstore.log.hash_chain import SALT_BYTES, content_digest, link
from eventstore.sync import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from eventstore.log.operations import Head

COMMIT: Final = 100
"""Events of a commit."""

STREAM: Final = 100
"""Events of a stream."""

ACTIVE: Final = 64
"""Streams that grow at the same time, in turn."""

BLOCK: Final = ACTIVE * STREAM
"""A log of the maker's is a multiple of so many events."""

STRIDE: Final = 100_000
"""Rows that are handed over together."""

COLUMNS: Final = (
    "position, stream_id, version, id, type, commit_position, data, metadata, recorded_us, salt, "
    "digest, hash, content"
)
INSERT: Final = f"INSERT INTO event ({COLUMNS}) VALUES ({'?, ' * 12}0)"
MOVE_HEAD: Final = "UPDATE head SET position = ?, recorded_us = ?, hash = ?"
_BEGAN_US: Final = 1_700_000_000_000_000
_METADATA: Final = b""


def stream_name(number: int) -> str:
    """Return the name of a stream, whose number begins at 0."""
    return f"rule/R{number:07d}"


def make_log(path: Path, count: int) -> float:
    """Make a log of ``count`` events, a multiple of BLOCK, and verify pages of it: seconds.

    It goes on where an earlier call for fewer events has ended, if nothing was appended since.
    """
    began = time.perf_counter()
    with EventStore.open(f"sqlite:///{path}", notify="none") as store:
        head = store.head()
    if head.position >= count:
        return 0.0
    streams = (
        (number + 1, stream_name(number), STREAM)
        for number in range(head.position // STREAM, count // STREAM)
    )
    insert_log(path, _rows(head, count), streams)
    return time.perf_counter() - began


def insert_log(
    path: Path, rows: Iterator[tuple[Any, ...]], streams: Iterable[tuple[int, str, int]]
) -> None:
    """Insert rows of events in bulk, then those of their streams; verify pages of them.

    ``streams`` is asked once the rows are there.
    """
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA journal_mode=OFF")
        database.execute("PRAGMA cache_size=-200000")
        # It asks three questions for each row, which nothing here could answer otherwise.
        (trigger,) = database.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'event_appended'"
        ).fetchone()
        database.execute("DROP TRIGGER event_appended")
        database.execute("BEGIN")
        last = cast("tuple[Any, ...]", ())
        while part := list(islice(rows, STRIDE)):
            database.executemany(INSERT, part)
            last = part[-1]
        for number, name, version in streams:
            update = "UPDATE stream SET version = ? WHERE id = ?"
            if not database.execute(update, (version, number)).rowcount:
                database.execute("INSERT INTO stream VALUES (?, ?, ?)", (number, name, version))
        database.execute(MOVE_HEAD, head_of(last))
        database.execute(trigger)
        database.execute("COMMIT")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA journal_mode=WAL")
        verify_sample(database, last[0])


def head_of(last: tuple[Any, ...]) -> tuple[int, int, bytes]:
    """Return the values of the head row, after the row of the last event."""
    return last[0], last[8], last[11]


def _rows(head: Head, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of the events that follow, chained."""
    names = {number: stream_name(number).encode() for number in range(ACTIVE)}
    data = [msgspec.json.encode(payload(number)) for number in range(ACTIVE)]
    previous, type_ = head.hash, TYPE.encode()
    for position in range(head.position + 1, count + 1):
        block, within = divmod(position - 1, BLOCK)
        turn, lane = divmod(within, ACTIVE)
        if not within:
            names = {at: stream_name(block * ACTIVE + at).encode() for at in range(ACTIVE)}
        commit = (position - 1) // COMMIT * COMMIT + COMMIT
        recorded = _BEGAN_US + commit
        salt = os.urandom(SALT_BYTES)
        raw_id = b"\x01\x8b" + position.to_bytes(6, "big") + salt[:8]
        digest = content_digest(salt, 0, data[lane], _METADATA)
        previous = link(
            previous, position, turn + 1, commit, recorded, names[lane], type_, raw_id, digest
        )
        yield (
            position, block * ACTIVE + lane + 1, turn + 1, raw_id, TYPE, commit,
            data[lane], _METADATA, recorded, salt, digest, previous,
        )  # fmt: skip


def verify_sample(database: sqlite3.Connection, count: int, pages: int = 20) -> None:
    """Verify pages of 1,000 events by the chain's own rules: content, digest and hash."""
    size = min(1_000, count - 1)
    starts = {0, count - size, *(random.randrange(count - size) for _ in range(pages))}
    for start in starts:
        rows = database.execute(
            "SELECT e.position, s.name, e.version, e.id, e.type, e.commit_position, e.data, "
            "e.metadata, e.recorded_us, e.salt, e.digest, e.hash FROM event e "
            "JOIN stream s ON s.id = e.stream_id WHERE e.position > ? ORDER BY e.position LIMIT ?",
            (start, size + 1),
        ).fetchall()
        before = rows[0][11]
        for (
            at,
            name,
            version,
            raw_id,
            type_,
            commit,
            data,
            metadata,
            us,
            salt,
            digest,
            hash_,
        ) in rows[1:]:
            found = content_digest(salt, 0, data, metadata)
            chained = link(
                before, at, version, commit, us, name.encode(), type_.encode(), raw_id, found
            )
            if (found, chained) != (digest, hash_):
                raise ValueError(f"event {at} of the log that was made is wrong")
            before = hash_
