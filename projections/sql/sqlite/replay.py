"""Computing the callers' tables from the log, in a SQLite database."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, ClassVar

from projections.sql.migrations import CREATE_LEDGER, INSERT_LEDGER, user_tables
from projections.sql.model import LEDGER
from projections.sql.replay import Replay
from projections.sql.sqlite import capture
from projections.sql.sqlite.schema import list_tables, quote, read_table, read_triggers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projections.sql.events import SchemaChange


class SqliteReplay(Replay):
    """See :class:`Replay`. Foreign keys must not be enforced on the connection.

    Of the users' triggers those alone run that write nothing but virtual tables, because a
    full-text index has no records of its own.
    """

    dialect = "sqlite"
    errors: ClassVar[type[Exception]] = sqlite3.Error

    def __init__(self, raw: sqlite3.Connection) -> None:
        super().__init__(raw)
        self._aside: list[str] | None = None

    def finish(self) -> None:
        """Put the users' triggers back in their places."""
        for sql in self._aside or ():
            self.raw.execute(sql)
        self._aside = None

    def define(self, change: SchemaChange) -> None:
        """Execute a migration's statements, and note it in the ledger."""
        capture.remove(self.raw)
        for statement in change.statements:
            self.raw.execute(statement).close()
        self.raw.execute(CREATE_LEDGER)
        row = (change.migration, change.checksum, change.applied_at)
        self.raw.execute(f"DELETE FROM {LEDGER} WHERE name = ?", row[:1])
        self.raw.execute(INSERT_LEDGER, row)

    def set_aside(self) -> None:
        """Drop the users' triggers, all but those of indexes, until :meth:`finish`."""
        if self._aside is None:
            self._aside = []
            for name, sql in read_triggers(self.raw):
                if not _is_derived(self.raw, name):
                    self._aside.append(sql)
                    self.raw.execute(f"DROP TRIGGER {quote(name)}")

    def target(self, name: str) -> _Target:
        """Return what changes the rows of a table."""
        return _Target(self.raw, name)


class _Target:
    def __init__(self, raw: sqlite3.Connection, name: str) -> None:
        self._raw = raw
        self._table = read_table(raw, name).table
        self._name = quote(name)

    def key_of(self, row: Mapping[str, Any]) -> list[Any]:
        return [row[column] for column in self._table.key]

    def insert(self, row: Mapping[str, Any]) -> None:
        names = ", ".join(map(quote, row))
        marks, values = capture.bind(list(row.values()))
        self._raw.execute(f"INSERT INTO {self._name} ({names}) VALUES ({', '.join(marks)})", values)

    def delete(self, key: Sequence[Any]) -> bool:
        marks, values = capture.bind(key)
        cursor = self._raw.execute(f"DELETE FROM {self._name} WHERE {self._where(marks)}", values)
        return cursor.rowcount == 1

    def update(self, key: Sequence[Any], row: Mapping[str, Any]) -> bool:
        marks, values = capture.bind(list(row.values()))
        assigned = ", ".join(f"{quote(c)} = {m}" for c, m in zip(row, marks, strict=True))
        key_marks, key_values = capture.bind(key)
        cursor = self._raw.execute(
            f"UPDATE {self._name} SET {assigned} WHERE {self._where(key_marks)}",
            values + key_values,
        )
        return cursor.rowcount == 1

    def _where(self, marks: Sequence[str]) -> str:
        parts = zip(self._table.key, marks, strict=True)
        return " AND ".join(f"{quote(column)} = {mark}" for column, mark in parts)


def _is_derived(raw: sqlite3.Connection, trigger: str) -> bool:
    """Whether all that a trigger writes are virtual tables, as SQLite's compiler sees it."""
    (table,) = raw.execute(
        "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name = ?", (trigger,)
    ).fetchone()
    kinds = list_tables(raw)
    if kinds.get(table) != "table":
        return False
    written: set[str] = set()

    def note(action: int, first: str | None, _2: Any, _3: Any, within: str | None) -> int:
        if within == trigger and action in _WRITES:
            written.add(first or "")
        return sqlite3.SQLITE_OK

    columns = read_table(raw, table).table.columns
    assigned = ", ".join(f"{quote(column)} = {quote(column)}" for column in columns)
    raw.set_authorizer(note)
    try:
        for sql in (
            f"INSERT INTO {quote(table)} DEFAULT VALUES",
            f"UPDATE {quote(table)} SET {assigned}",
            f"DELETE FROM {quote(table)}",
        ):
            raw.execute(f"EXPLAIN {sql}").close()
    finally:
        raw.set_authorizer(None)
    return bool(written) and all(kinds.get(name) in {"virtual", "shadow"} for name in written)


_WRITES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


def drop_tables(raw: sqlite3.Connection, names: Sequence[str]) -> None:
    """Drop captured tables, and every view, virtual table and trigger of the users' own."""
    capture.remove(raw)
    for name, _ in read_triggers(raw):
        raw.execute(f"DROP TRIGGER {quote(name)}")
    kinds = list_tables(raw)
    for name, kind in kinds.items():
        if kind in {"view", "virtual"}:
            raw.execute(f"DROP {'VIEW' if kind == 'view' else 'TABLE'} {quote(name)}")
    for name in names:
        raw.execute(f"DROP TABLE IF EXISTS {quote(name)}")
    raw.execute(f"DROP TABLE IF EXISTS {LEDGER}")


def capture_again(raw: sqlite3.Connection, names: Sequence[str]) -> None:
    """Capture the tables that were computed."""
    there = set(user_tables(raw))
    capture.install(raw, [read_table(raw, name) for name in names if name in there])


def read_sequences(raw: sqlite3.Connection) -> dict[str, int]:
    """Return the largest id that each AUTOINCREMENT table has given out."""
    if raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone() is None:
        return {}
    return dict(raw.execute("SELECT name, seq FROM sqlite_sequence").fetchall())


def raise_sequences(raw: sqlite3.Connection, known: Mapping[str, int]) -> None:
    """Let no table give out an id again: one that was not kept leaves no trace in the log."""
    there = {name for name, kind in list_tables(raw).items() if kind == "table"}
    now = read_sequences(raw)
    for name, given in known.items():
        if name in now and now[name] < given:
            raw.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (given, name))
        elif name in there and name not in now:
            raw.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, given))
