"""Checking a log from its rows alone, with nothing of the library under test.

The hash chain is computed here from its description in words, so that a mistake in the
library's own code is not repeated.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg

ROWS = """SELECT e.position, s.name, e.version, e.id, e.type, e.commit_position, e.content,
e.data, e.metadata, e.recorded_us, e.salt, e.digest, e.hash
FROM event e JOIN stream s ON s.id = e.stream_id ORDER BY e.position"""
HEAD = "SELECT log_id, position, hash FROM head"
STREAMS = "SELECT name, version FROM stream"


def audit(path: Path) -> int:
    """Check positions, versions, commits, times and chain; return the number of events."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(ROWS).fetchall()
        head = connection.execute(HEAD).fetchone()
        streams: dict[str, int] = dict(connection.execute(STREAMS))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return check_rows(rows, head, streams)


def audit_postgres(url: str) -> int:
    """Do the same for a log on PostgreSQL, and see that no event is without its stream."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        rows = connection.execute(ROWS).fetchall()
        head = connection.execute(HEAD).fetchone()
        streams: dict[str, int] = dict(connection.execute(STREAMS).fetchall())
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (len(rows),)
        assert connection.execute("SELECT count(*) FROM head").fetchone() == (1,)
    assert head is not None
    return check_rows(rows, head, streams)


def audit_url(url: str) -> int:
    """Check the log that a URL names."""
    if url.startswith("sqlite:///"):
        return audit(Path(url.removeprefix("sqlite:///")))
    return audit_postgres(url)


def check_rows(
    rows: list[tuple[Any, ...]], head: tuple[str, int, bytes], streams: dict[str, int]
) -> int:
    """Check what any log must be, whole from its first event on; return how many it has."""
    assert [row[0] for row in rows] == list(range(1, head[1] + 1))
    assert check_chain(rows, head[0]) == head[2]
    versions: dict[str, int] = {}
    for position, stream, version, _, _, commit, *_ in rows:
        versions[stream] = versions.get(stream, 0) + 1
        assert version == versions[stream]
        assert position <= commit == rows[commit - 1][5]
    assert streams == versions
    assert [row[5] for row in rows] == sorted(row[5] for row in rows)
    assert [row[9] for row in rows] == sorted(row[9] for row in rows)
    return len(rows)


def check_chain(rows: list[tuple[object, ...]], log_id: str) -> bytes:
    """Compute every event's digest and hash; return the last hash."""

    def number(value: object, size: int) -> bytes:
        assert isinstance(value, int)
        return value.to_bytes(size, "big")

    previous = sha256(b"eventstore log 1\x00" + log_id.encode()).digest()
    for row in rows:
        position, stream, version, raw_id, type_, commit, content, data, meta, time = row[:10]
        salt, digest, stored = row[10:]
        assert isinstance(stream, str)
        assert isinstance(type_, str)
        assert isinstance(raw_id, bytes)
        assert isinstance(digest, bytes)
        if salt is not None:
            assert isinstance(salt, bytes)
            assert isinstance(data, bytes)
            assert isinstance(meta, bytes)
            covered = salt + number(content, 1) + number(len(data), 8) + data + meta
            assert digest == sha256(covered).digest()
        names = (stream.encode(), type_.encode(), raw_id)
        fixed = b"".join(number(value, 8) for value in (position, version, commit, time))
        sizes = b"".join(number(len(name), 2) for name in names)
        previous = sha256(previous + fixed + sizes + b"".join(names) + digest).digest()
        assert stored == previous
    return previous
