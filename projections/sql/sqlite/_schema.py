"""The schema of a SQLite database, as far as capture and replay have to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from projections.sql._identifiers import (
    CAPTURE,
    UNCAPTURED,
    is_reserved,
    later_reserved,
    quote_name,
)
from projections.sql._schema import Schema
from projections.sql.model import CapturedTable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence


class UniqueIndex(NamedTuple):
    """A unique index: (column, collation) of each part; the column is None for an expression."""

    name: str
    parts: tuple[tuple[str | None, str], ...]


class SqliteTable(NamedTuple):
    """A table, with what only SQLite has."""

    table: CapturedTable
    unique_indexes: tuple[UniqueIndex, ...]
    rowid: str | None
    """A name of the rowid that no column has; ``None`` for WITHOUT ROWID."""
    nullable_key: bool
    """True if SQLite accepts NULL in a column of the primary key."""


class SqliteSchema(Schema[SqliteTable]):
    """See :class:`Schema`."""

    placeholder = "?"

    def list_tables(self) -> list[str]:
        """Return the ordinary tables that are neither the log's nor this package's."""
        return [
            name
            for name, kind in list_objects(self._raw).items()
            if kind == "table" and not is_reserved(name, self.own)
        ]

    def list_later_reserved(self) -> frozenset[str]:
        """Return the names of ``LATER_RESERVED`` that objects of any kind have."""
        rows = self._raw.execute("SELECT name FROM main.sqlite_master").fetchall()
        return later_reserved(name for (name,) in rows)

    def list_own_reserved(self, tables: Sequence[str]) -> frozenset[str]:
        """Return those of them that views, or these tables and their indexes, have."""
        rows = self._raw.execute("SELECT type, name, tbl_name FROM main.sqlite_master").fetchall()
        return later_reserved(
            name for kind, name, table in rows if kind == "view" or table in tables
        )

    def read_table(self, name: str) -> SqliteTable:
        """Describe a table; its key is empty where it has no primary key."""
        raw = self._raw
        rows = raw.execute(
            "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?, 'main')", (name,)
        ).fetchall()
        columns = tuple(row[0] for row in rows if row[4] == 0)
        key = tuple(row[0] for row in sorted(rows, key=lambda row: row[3]) if row[3])
        (without_rowid,) = raw.execute(
            "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)
        ).fetchone()
        names = {row[0].lower() for row in rows}
        aliases = [one for one in ("rowid", "_rowid_", "oid") if one not in names]
        indexes = _read_unique_indexes(raw, name)
        # An INTEGER PRIMARY KEY is the rowid itself, has no index, and is never NULL.
        has_index = any(tuple(column for column, _ in one.parts) == key for one in indexes)
        nullable = any(row[3] and not row[2] for row in rows)
        return SqliteTable(
            CapturedTable(name, columns, key),
            indexes,
            None if without_rowid or not aliases else aliases[0],
            not without_rowid and has_index and nullable,
        )

    def find_fault(self, description: SqliteTable) -> str | None:
        """Return the reason why a table cannot be captured, ``None`` where it can."""
        if fault := super().find_fault(description):
            return fault
        for index in description.unique_indexes:
            if any(column is None for column, _ in index.parts):
                return (
                    f"the unique index {index.name!r} of table {description.table.name!r} is over "
                    "an expression, through which a row could be replaced unseen: use a "
                    "generated column"
                )
        return None

    def drop_tables(self, names: Sequence[str]) -> None:
        """Drop these tables, the ledger, and the users' views, virtual tables and triggers."""
        raw = self._raw
        for name, _ in self.read_triggers():
            raw.execute(f"DROP TRIGGER main.{quote_name(name)}")
        for name, kind in list_objects(raw).items():
            if kind in {"view", "virtual"}:
                raw.execute(f"DROP {'VIEW' if kind == 'view' else 'TABLE'} main.{quote_name(name)}")
        for name in [*names, *self.read_uncaptured()]:
            raw.execute(f"DROP TABLE IF EXISTS main.{quote_name(name)}")
        raw.execute(f"DROP TABLE IF EXISTS {self._ledger()}")
        raw.execute(f"DROP TABLE IF EXISTS main.{UNCAPTURED}")

    def _execute(self, statement: str) -> None:
        self._raw.execute(statement)

    def read_triggers(self) -> list[tuple[str, str]]:
        """Return (name, sql) of each trigger of the users, in the order of their creation."""
        rows = self._raw.execute(
            "SELECT name, tbl_name, sql FROM main.sqlite_master "
            "WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        return [
            (name, sql)
            for name, table, sql in rows
            if not name.lower().startswith(CAPTURE) and not is_reserved(table, self.own)
        ]

    def read_sequences(self, names: Sequence[str]) -> dict[str, int]:  # noqa: ARG002 - reads all
        """Return the largest id that each AUTOINCREMENT table has given out."""
        found = self._raw.execute("SELECT 1 FROM main.sqlite_master WHERE name = 'sqlite_sequence'")
        if found.fetchone() is None:
            return {}
        return dict(self._raw.execute("SELECT name, seq FROM main.sqlite_sequence").fetchall())

    def restore_sequences(self, known: Mapping[str, int]) -> None:
        """Let no AUTOINCREMENT table give out an id twice."""
        raw = self._raw
        existing = {name for name, kind in list_objects(raw).items() if kind == "table"}
        now = self.read_sequences([])
        for name, last in known.items():
            if name in now and now[name] < last:
                raw.execute("UPDATE main.sqlite_sequence SET seq = ? WHERE name = ?", (last, name))
            elif name in existing and name not in now:
                raw.execute(
                    "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (name, last)
                )

    def schema_name(self) -> str:
        """Return the schema of the file."""
        return "main"

    def has_table(self, name: str) -> bool:
        """Return True if there is a table of that name."""
        query = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?"
        return self._raw.execute(query, (name,)).fetchone() is not None


def list_objects(raw: sqlite3.Connection) -> dict[str, str]:
    """Return kind (``table``, ``virtual``, ``shadow``, ``view``) by name, without SQLite's own."""
    rows = raw.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")
    return {name: kind for name, kind in rows.fetchall() if not name.startswith("sqlite_")}


def _read_unique_indexes(raw: Any, table: str) -> tuple[UniqueIndex, ...]:
    indexes = raw.execute(
        "SELECT name FROM pragma_index_list(?, 'main') WHERE \"unique\"", (table,)
    ).fetchall()
    query = "SELECT name, coll FROM pragma_index_xinfo(?, 'main') WHERE key ORDER BY seqno"
    return tuple(
        UniqueIndex(name, tuple(raw.execute(query, (name,)).fetchall())) for (name,) in indexes
    )
