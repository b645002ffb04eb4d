"""SQL storage on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from projections.sql._dialect import Recorded, SqlDialect, append_rows
from projections.sql.sqlite import _snapshots
from projections.sql.sqlite._capture import SqliteCapture
from projections.sql.sqlite._connection_pool import ConnectionPool
from projections.sql.sqlite._migrations import SqliteMigrator
from projections.sql.sqlite._schema import SqliteSchema, SqliteTable, list_objects
from projections.sql.sqlite.connection import SqliteConnection
from projections.sql.sqlite.replay import SqliteReplay

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from eventstore.storage.movable import MovableSqlBackend
    from eventstore.storage.user_transaction import UserTransaction


class _KnownSchema(NamedTuple):
    """The captured tables, and what callers may write, as of one version of the schema."""

    version: int
    tables: dict[str, SqliteTable]
    writable: frozenset[str]


class SqliteDialect(SqlDialect):
    """See :class:`SqlDialect`."""

    name = "sqlite"
    capture_type = SqliteCapture
    schema_type = SqliteSchema
    migrator_type = SqliteMigrator
    replay_type = SqliteReplay

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known = _KnownSchema(-1, {}, frozenset())
        self._pool = ConnectionPool(self._open_transaction)

    def connect(self) -> SqliteConnection:
        """Return a connection for a caller."""
        return SqliteConnection(self._pool, self)

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.close()

    def writable(self, transaction: UserTransaction) -> frozenset[str]:
        """Return captured tables, views and parts of virtual tables, in lower case."""
        return self._read_schema(transaction.raw).writable

    def _read_schema(self, raw: sqlite3.Connection) -> _KnownSchema:
        known = self._known
        (version,) = raw.execute("PRAGMA schema_version").fetchone()
        if known.version != version:
            schema = SqliteSchema(raw)
            tables = {name: schema.read_table(name) for name in SqliteCapture(raw).list_tables()}
            others = {name for name, kind in list_objects(raw).items() if kind != "table"}
            others |= schema.read_uncaptured()
            writable = frozenset(name.lower() for name in {*tables, *others})
            known = self._known = _KnownSchema(version, tables, writable)
        return known

    def record(self, transaction: UserTransaction) -> Recorded | None:
        """Append what the transaction did; return ``None`` if it changed no row."""
        raw: sqlite3.Connection = transaction.raw
        # Read by writable(): since then the transaction has the file, and its schema, for itself.
        tables = self._known.tables
        if not tables:
            return None
        events = SqliteCapture(raw).take_events(tables)
        return append_rows(transaction, events) if events else None

    def _prepare(self, transaction: UserTransaction) -> None:
        # A migration may rebuild a table (create, copy, drop, rename), which they would refuse.
        transaction.raw.execute("PRAGMA foreign_keys=OFF")

    def _lock_schema(self, transaction: UserTransaction) -> None:
        """Do nothing: a transaction that writes has the file for itself."""

    def export_snapshot(self, backend: MovableSqlBackend, target: Path) -> int:
        """Write the log and the tables into a file; return their position."""
        return _snapshots.export_snapshot(backend, target)

    def import_snapshot(self, backend: MovableSqlBackend, source: Path) -> int:
        """Replace the log and the tables by those of a snapshot; return their position."""
        return _snapshots.import_snapshot(backend, source)
