"""Computing the callers' tables from the log, in a SQLite database."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from projections.sql import capture
from projections.sql.events import SCHEMA_CHANGED, STREAM, ChangeReader, read_schema
from projections.sql.migrations import CREATE_LEDGER, INSERT_LEDGER, user_tables
from projections.sql.model import LEDGER, ReplayError
from projections.sql.schema import list_tables, quote, read_table, read_triggers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore import Event
    from projections.sql.events import SchemaChange
    from projections.sql.model import Change


class Replay:
    """Applies events to the tables on one connection, in the caller's transaction.

    Foreign keys must not be enforced on it. The users' triggers do not run: what they did is
    recorded as changes of rows. Those alone that write nothing but virtual tables do, because
    a full-text index has no records of its own.
    """

    def __init__(self, raw: sqlite3.Connection) -> None:
        self._raw = raw
        self._aside: list[str] | None = None
        self._statements: dict[str, _Statements] = {}

    def apply(self, events: Sequence[Event]) -> None:
        """Apply whole commits. Raises ReplayError where the tables do not fit."""
        reader = ChangeReader()
        for event in events:
            if event.stream != STREAM:
                continue
            try:
                if event.type == SCHEMA_CHANGED and not event.redacted:
                    self._define(read_schema(event))
                elif changes := reader.read(event):
                    self._change(changes)
            except sqlite3.Error as error:
                raise ReplayError(event.position, str(error)) from error

    def finish(self) -> None:
        """Put the users' triggers back in their places."""
        for sql in self._aside or ():
            self._raw.execute(sql)
        self._aside = None

    def _define(self, change: SchemaChange) -> None:
        self.finish()
        capture.remove(self._raw)
        for statement in change.statements:
            self._raw.execute(statement).close()
        self._statements.clear()
        self._raw.execute(CREATE_LEDGER)
        row = (change.migration, change.checksum, change.applied_at)
        self._raw.execute(f"DELETE FROM {LEDGER} WHERE name = ?", row[:1])
        self._raw.execute(INSERT_LEDGER, row)

    def _set_aside(self) -> None:
        if self._aside is None:
            self._aside = []
            for name, sql in read_triggers(self._raw):
                if not _is_derived(self._raw, name):
                    self._aside.append(sql)
                    self._raw.execute(f"DROP TRIGGER {quote(name)}")

    def _change(self, changes: Sequence[Change]) -> None:
        """Apply changes one by one as they were made; all at once where that does not fit.

        A trigger or cascade that changes a row in the midst of its own change is recorded before
        it. What counts then is the row that each key had in the end.
        """
        self._set_aside()
        self._raw.execute("SAVEPOINT change")
        try:
            fits = all(self._table(one.table).change(one) for one in changes)
        except sqlite3.IntegrityError:
            fits = False
        if not fits:
            self._raw.execute("ROLLBACK TO change")
            self._put_final(changes)
        self._raw.execute("RELEASE change")

    def _put_final(self, changes: Sequence[Change]) -> None:
        final: dict[tuple[Any, ...], tuple[str, Mapping[str, Any] | None]] = {}
        for change in changes:
            table = self._table(change.table)
            final[change.table, *table.key_of(change.old or change.new or {})] = change.table, None
            if change.new is not None:
                final[change.table, *table.key_of(change.new)] = change.table, change.new
        for (_, *key), (name, _) in final.items():
            self._table(name).delete(key)
        for name, row in final.values():
            if row is not None:
                self._table(name).insert(row)

    def _table(self, name: str) -> _Statements:
        found = self._statements.get(name)
        if found is None:
            found = self._statements[name] = _Statements(self._raw, name)
        return found


class _Statements:
    """What changes the rows of one table."""

    def __init__(self, raw: sqlite3.Connection, name: str) -> None:
        self._raw = raw
        self._table = read_table(raw, name).table
        self._name = quote(name)

    def key_of(self, row: Mapping[str, Any]) -> list[Any]:
        return [row[column] for column in self._table.key]

    def change(self, change: Change) -> bool:
        """Make one change as it was made; return whether the row was as it should be."""
        if change.old is None:
            self.insert(change.new or {})
            return True
        key = self.key_of(change.old)
        return self.delete(key) if change.new is None else self._update(key, change.new)

    def insert(self, row: Mapping[str, Any]) -> None:
        names = ", ".join(quote(column) for column in row)
        self._execute(f"INSERT INTO {self._name} ({names}) VALUES", row.values(), ", ")

    def delete(self, key: Sequence[Any]) -> bool:
        marks, values = capture.bind(key)
        cursor = self._raw.execute(f"DELETE FROM {self._name} WHERE {self._where(marks)}", values)
        return cursor.rowcount == 1

    def _update(self, key: Sequence[Any], row: Mapping[str, Any]) -> bool:
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

    def _execute(self, sql: str, values: Any, separator: str) -> None:
        marks, bound = capture.bind(list(values))
        self._raw.execute(f"{sql} ({separator.join(marks)})", bound)


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
