"""What an attacker with all rights over the database can do to a log, by plain SQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import psycopg

from eventstore.log import hash_chain as chain
from support.plain import dialect
from support.postgres import shared_server

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

EVENT: Final = [
    "position",
    "stream_id",
    "version",
    "id",
    "type",
    "commit_position",
    "content",
    "data",
    "metadata",
    "recorded_us",
    "salt",
    "digest",
    "hash",
]
COLUMNS: Final = {
    "event": EVENT,
    "stream": ["id", "name", "version"],
    "head": [
        "log_id",
        "first_position",
        "position",
        "recorded_us",
        "hash",
        "base_hash",
        "schema_version",
    ],
    "consumer": ["position", "hash"],
}
"""What verification vouches for, by table."""


class Superuser:
    """A connection for which no trigger counts, with ``?`` for parameters."""

    def __init__(self, connection: Any, mark: str) -> None:
        self._connection = connection
        self._mark = mark

    def run(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows, if it gives any."""
        cursor = self._connection.execute(sql.replace("?", self._mark), values)
        return list(cursor.fetchall()) if cursor.description else []


@contextmanager
def superuser(url: str) -> Iterator[Superuser]:
    """Connect with every right, in one transaction; triggers are as before afterwards."""
    if dialect(url) == "sqlite":
        path = url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            find = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
            triggers = connection.execute(find).fetchall()
            for name, _ in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            yield Superuser(connection, "?")
            for _, sql in triggers:
                connection.execute(sql)
            connection.execute("COMMIT")
        return
    schema = unquote(url).partition("search_path=")[2]
    with psycopg.connect(shared_server().url(schema, superuser=True)) as connection:
        connection.execute("SET session_replication_role = replica")
        yield Superuser(connection, "%s")


def other(value: Any, dice: random.Random) -> Any:
    """Return another value of the same kind."""
    if value is None:
        return dice.randbytes(32)
    if isinstance(value, int):
        return value + dice.choice([-1, 1, 2, 7, 100])
    if isinstance(value, str):
        at = dice.randrange(len(value))
        return (
            value[:at]
            + chr((ord(value[at]) - 32 + dice.randint(1, 90)) % 95 + 32)
            + value[at + 1 :]
        )
    if not value or dice.random() < 0.1:
        return value + b"x"
    at = dice.randrange(len(value))
    return value[:at] + bytes([value[at] ^ dice.randint(1, 255)]) + value[at + 1 :]


def _pick(user: Superuser, table: str, dice: random.Random) -> dict[str, Any]:
    columns = COLUMNS[table]
    rows = user.run(f"SELECT {', '.join(columns)} FROM {table} ORDER BY 1")
    return dict(zip(columns, dice.choice(rows), strict=True))


def _where(row: dict[str, Any]) -> tuple[str, list[Any]]:
    known = {name: value for name, value in row.items() if value is not None}
    return " AND ".join(f"{name} = ?" for name in known), list(known.values())


def update(user: Superuser, dice: random.Random) -> str:
    """Change one column of one row."""
    table = dice.choice(["event"] * 6 + ["stream", "head", "head", "consumer"])
    row = _pick(user, table, dice)
    column = dice.choice(list(row))
    value = other(row[column], dice)
    where, values = _where(row)
    user.run(f"UPDATE {table} SET {column} = ? WHERE {where}", value, *values)
    return f"{table}.{column} of {row} became {value!r}"


def delete(user: Superuser, dice: random.Random) -> str:
    """Take one row away."""
    table = dice.choice(["event", "event", "event", "stream"])
    row = _pick(user, table, dice)
    where, values = _where(row)
    user.run(f"DELETE FROM {table} WHERE {where}", *values)
    return f"deleted from {table}: {row}"


def insert(user: Superuser, dice: random.Random) -> str:
    """Add an event: before the first, behind the last, or far behind it."""
    row = _pick(user, "event", dice)
    ends = user.run("SELECT min(position), max(position), max(version) FROM event")[0]
    row["position"] = dice.choice([ends[0] - 1, ends[1] + 1, ends[1] + 50])
    row["version"], row["id"] = ends[2] + dice.randint(1, 3), dice.randbytes(16)
    marks = ", ".join("?" * len(row))
    user.run(f"INSERT INTO event ({', '.join(row)}) VALUES ({marks})", *row.values())
    return f"inserted {row}"


def swap(user: Superuser, dice: random.Random) -> str:
    """Let two events change places, or only their contents."""
    one, two = _pick(user, "event", dice), _pick(user, "event", dice)
    while one["position"] == two["position"]:
        two = _pick(user, "event", dice)
    moved = dice.choice([["position"], ["data", "metadata", "salt", "digest"], ["hash"], ["type"]])
    if all(one[name] == two[name] for name in moved):
        moved = ["position"]
    if moved == ["position"]:
        places = (one["position"], -1), (two["position"], one["position"]), (-1, two["position"])
        for before, after in places:
            user.run("UPDATE event SET position = ? WHERE position = ?", after, before)
    else:
        for row, from_row in ((one, two), (two, one)):
            names = ", ".join(f"{name} = ?" for name in moved)
            values = [from_row[name] for name in moved]
            user.run(f"UPDATE event SET {names} WHERE position = ?", *values, row["position"])
    return f"swapped {moved} of {one['position']} and {two['position']}"


EDITS: Final = (update, update, update, delete, insert, swap)


def rewrite(url: str, position: int, data: bytes) -> None:
    """Change an event, and compute all that follows anew, as the log itself would."""
    rewrite_column(url, position, "data", data)


def rewrite_column(url: str, position: int, column: str, value: Any) -> None:
    """Change any column of an event, or its stream's name, and bind it into the chain."""
    with superuser(url) as user:
        if column == "stream":
            (row,) = user.run("SELECT stream_id FROM event WHERE position = ?", position)
            user.run("UPDATE stream SET name = ? WHERE id = ?", value, row[0])
        else:
            user.run(f"UPDATE event SET {column} = ? WHERE position = ?", value, position)
        (log_id,) = user.run("SELECT log_id FROM head")[0]
        found = user.run("SELECT hash FROM event WHERE position = ?", position - 1)
        previous = found[0][0] if found else chain.genesis(log_id)
        columns = ", ".join(f"e.{name}" for name in EVENT)
        for row in user.run(
            f"SELECT s.name, {columns} FROM event e JOIN stream s ON s.id = e.stream_id "
            "WHERE e.position >= ? ORDER BY e.position",
            position,
        ):
            event = dict(zip(EVENT, row[1:], strict=True))
            digest = event["digest"]
            if event["salt"] is not None:
                content = event["content"], event["data"], event["metadata"]
                digest = chain.content_digest(event["salt"], *content)
            previous = chain.link(
                previous,
                event["position"],
                event["version"],
                event["commit_position"],
                event["recorded_us"],
                row[0].encode(),
                event["type"].encode(),
                event["id"],
                digest,
            )
            user.run(
                "UPDATE event SET digest = ?, hash = ? WHERE position = ?",
                digest, previous, event["position"],
            )  # fmt: skip
        user.run("UPDATE head SET hash = ?", previous)
        last = "(SELECT recorded_us FROM event ORDER BY position DESC LIMIT 1)"
        user.run(f"UPDATE head SET recorded_us = {last}")
        user.run("DELETE FROM consumer")
