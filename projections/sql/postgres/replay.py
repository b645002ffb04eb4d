"""Computing the callers' tables from the log, in a PostgreSQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import psycopg

from projections.sql.migrations import CREATE_LEDGER
from projections.sql.model import LEDGER
from projections.sql.postgres import capture
from projections.sql.postgres.capture import quoted
from projections.sql.postgres.migrations import INSERT_LEDGER
from projections.sql.replay import Replay
from projections.sql.sqlite.schema import RESERVED, quote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projections.sql.events import SchemaChange

_FOREIGN_KEYS = (
    "SELECT t.relname, c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c "
    "JOIN pg_class t ON t.oid = c.conrelid WHERE c.contype = 'f' "
    "AND t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(%s) ORDER BY 1, 2"
)


class PostgresReplay(Replay):
    """See :class:`Replay`."""

    dialect = "postgres"
    errors: ClassVar[type[Exception]] = psycopg.Error

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._aside: list[str] | None = None

    def finish(self) -> None:
        """Let triggers and foreign keys act again."""
        for sql in self._aside or ():
            self.raw.execute(sql.encode())
        self._aside = None

    def define(self, change: SchemaChange) -> None:
        """Execute a migration's statements, and note it in the ledger."""
        for statement in change.statements:
            self.raw.execute(statement.encode())
        self.raw.execute(CREATE_LEDGER)
        self.raw.execute(f"DELETE FROM {LEDGER} WHERE name = %s", (change.migration,))
        row = (change.migration, change.checksum, change.applied_at)
        self.raw.execute(INSERT_LEDGER, row)

    def set_aside(self) -> None:
        """Disable the users' triggers, and drop foreign keys, until :meth:`finish`."""
        if self._aside is not None:
            return
        self._aside = []
        for table, name, definition in self.raw.execute(_FOREIGN_KEYS, (self.tables,)).fetchall():
            alter = f"ALTER TABLE {quote(table)}"
            self.raw.execute(f"{alter} DROP CONSTRAINT {quote(name)}".encode())
            self._aside.append(f"{alter} ADD CONSTRAINT {quote(name)} {definition}")
        for table in self.tables:
            self.raw.execute(f"ALTER TABLE {quote(table)} DISABLE TRIGGER USER".encode())
            self._aside.append(f"ALTER TABLE {quote(table)} ENABLE TRIGGER USER")

    def target(self, name: str) -> _Target:
        """Return what changes the rows of a table."""
        return _Target(self.raw, name)


class _Target:
    def __init__(self, raw: Any, name: str) -> None:
        self._raw = raw
        self._one = capture.read_table(raw, name)
        self._name = quoted(name)

    def key_of(self, row: Mapping[str, Any]) -> list[Any]:
        return [row[column] for column in self._one.table.key]

    def _mark(self, column: str) -> str:
        return f"%s::{self._one.types[column]}"

    def insert(self, row: Mapping[str, Any]) -> None:
        names = ", ".join(map(quoted, row))
        marks = ", ".join(map(self._mark, row))
        values = [capture.to_text(value) for value in row.values()]
        self._raw.execute(
            f"INSERT INTO {self._name} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})", values
        )

    def delete(self, key: Sequence[Any]) -> bool:
        where, values = self._where(key)
        count: int = self._raw.execute(f"DELETE FROM {self._name} WHERE {where}", values).rowcount
        return count == 1

    def update(self, key: Sequence[Any], row: Mapping[str, Any]) -> bool:
        given = {name: value for name, value in row.items() if name not in self._one.fixed}
        assigned = ", ".join(f"{quoted(name)} = {self._mark(name)}" for name in given)
        where, values = self._where(key)
        count: int = self._raw.execute(
            f"UPDATE {self._name} SET {assigned} WHERE {where}",
            [*map(capture.to_text, given.values()), *values],
        ).rowcount
        return count == 1

    def _where(self, key: Sequence[Any]) -> tuple[str, list[Any]]:
        names = self._one.table.key
        where = " AND ".join(f"{quoted(name)} = {self._mark(name)}" for name in names)
        return where, [capture.to_text(value) for value in key]


_OBJECTS = {
    "VIEW": (
        "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'v' "
        "AND relnamespace = current_schema()::regnamespace"
    ),
    "MATERIALIZED VIEW": (
        "SELECT quote_ident(relname) FROM pg_class WHERE relkind = 'm' "
        "AND relnamespace = current_schema()::regnamespace"
    ),
    "ROUTINE": (
        "SELECT oid::regprocedure::text FROM pg_proc p "
        "WHERE pronamespace = current_schema()::regnamespace AND NOT EXISTS ("
        "SELECT 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE t.tgfoid = p.oid AND c.relname = ANY(%(reserved)s)) AND NOT EXISTS ("
        "SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    ),
    "SEQUENCE": (
        "SELECT quote_ident(relname) FROM pg_class c WHERE relkind = 'S' "
        "AND relnamespace = current_schema()::regnamespace AND NOT EXISTS ("
        "SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))"
    ),
    "TYPE": (
        "SELECT quote_ident(typname) FROM pg_type t "
        "WHERE typnamespace = current_schema()::regnamespace AND (typtype IN ('e', 'd') "
        "OR EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = t.typrelid AND relkind = 'c')) "
        "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')"
    ),
}
"""What else migrations make, in the order in which it can be dropped after the tables."""


def drop_tables(raw: Any, names: Sequence[str]) -> None:
    """Drop captured tables, and the views, functions, sequences and types of the users' own."""
    capture.remove(raw)
    for name in names:
        raw.execute(f"DROP TABLE IF EXISTS {quote(name)} CASCADE".encode())
    for kind, query in _OBJECTS.items():
        for (name,) in raw.execute(query, {"reserved": list(RESERVED)}).fetchall():
            raw.execute(f"DROP {kind} IF EXISTS {name} CASCADE".encode())
    raw.execute(f"DROP TABLE IF EXISTS {LEDGER}")


def read_sequences(raw: Any, names: Sequence[str]) -> dict[tuple[str, str], tuple[int, bool]]:
    """Return where the sequence of each column is that has one."""
    found = {}
    rows = raw.execute(
        "SELECT relname, attname, pg_get_serial_sequence("
        "quote_ident(current_schema()) || '.' || quote_ident(relname), attname) "
        "FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE attnum > 0 "
        "AND NOT attisdropped AND relnamespace = current_schema()::regnamespace "
        "AND relname = ANY(%s)",
        (list(names),),
    ).fetchall()
    for table, column, sequence in rows:
        if sequence is not None:
            query = f"SELECT last_value, is_called FROM {sequence}"
            found[table, column] = raw.execute(query.encode()).fetchone()
    return found


def raise_sequences(raw: Any, known: Mapping[tuple[str, str], tuple[int, bool]]) -> None:
    """Let no sequence give out a number again."""
    for (table, column), (value, called) in known.items():
        raw.execute(
            "SELECT setval(pg_get_serial_sequence(quote_ident(%(table)s), %(column)s), "
            "%(value)s, %(called)s) WHERE EXISTS (SELECT 1 FROM pg_attribute "
            "WHERE attrelid = to_regclass(quote_ident(%(table)s)) AND attname = %(column)s)",
            {"table": table, "column": column, "value": value, "called": called},
        )
