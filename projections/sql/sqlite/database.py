"""The storage's side that knows SQLite."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from projections.sql import snapshots
from projections.sql.database import Recorded, Side, append_rows
from projections.sql.events import rows_events
from projections.sql.migrations import SqliteMigrator, read_ledger
from projections.sql.replay import replay_log
from projections.sql.sqlite import capture
from projections.sql.sqlite.connection import SqliteConnection
from projections.sql.sqlite.connection_pool import Seat
from projections.sql.sqlite.guard import Mode
from projections.sql.sqlite.replay import (
    SqliteReplay,
    capture_again,
    drop_tables,
    raise_sequences,
    read_sequences,
)
from projections.sql.sqlite.schema import list_tables, read_table

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    from eventstore import NewEvent
    from eventstore.storage.base import SqlBackend
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql.migrations import Migration
    from projections.sql.model import Table
    from projections.sql.sqlite.guard import Guard


IDLE: Final = 8
"""How many connections stay open while nobody uses them."""


class _Schema(NamedTuple):
    """What is captured, as of one version of the schema."""

    version: int
    tables: dict[str, Table]
    writable: frozenset[str]


class SqliteSide(Side):
    """See :class:`Side`."""

    backend_name = "sqlite"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._schema = _Schema(-1, {}, frozenset())
        self._lock = threading.Lock()
        self._idle: list[Seat] = []
        self._closed = False

    def connect(self) -> SqliteConnection:
        """Return a connection for a caller."""
        with self._lock:
            seat = self._idle.pop() if self._idle else None
        if seat is None:
            return SqliteConnection(Seat(self.make_guest()), self)
        try:
            seat.guest.check()
        except BaseException:
            seat.guest.close()
            raise
        return SqliteConnection(seat, self)

    def leave(self, seat: Seat) -> None:
        """Keep a connection for the next caller, or close it."""
        with self._lock:
            if seat.is_fresh and len(self._idle) < IDLE and not self._closed:
                self._idle.append(seat)
                return
        seat.guard.mode = Mode.OWN
        seat.guest.close()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for seat in idle:
            seat.guard.mode = Mode.OWN
            seat.guest.close()

    def begun(self, guest: UserTransaction, guard: Guard) -> None:
        """Say what may be written in the transaction that was just begun."""
        guard.writable = self._read_schema(guest.raw).writable

    def _read_schema(self, raw: sqlite3.Connection) -> _Schema:
        schema = self._schema
        (version,) = raw.execute("PRAGMA schema_version").fetchone()
        if schema.version != version:
            tables = {name: read_table(raw, name).table for name in capture.captured(raw)}
            others = {name for name, kind in list_tables(raw).items() if kind != "table"}
            writable = frozenset(name.lower() for name in {*tables, *others})
            schema = self._schema = _Schema(version, tables, writable)
        return schema

    def record(self, guest: UserTransaction) -> Recorded | None:
        """Append what the transaction did."""
        tables = self._read_schema(guest.raw).tables
        if not tables:
            return None
        events = rows_events(capture.drain(guest.raw, tables))
        capture.clear(guest.raw)
        return append_rows(guest, events) if events else None

    def prepare(self, guest: UserTransaction) -> None:
        """Enforce no foreign keys: a table that is made anew is dropped on the way."""
        guest.raw.execute("PRAGMA foreign_keys=OFF")

    def lock(self, guest: UserTransaction) -> None:
        """Do nothing: a transaction that writes has the file for itself."""

    def ledger(self, guest: UserTransaction) -> dict[str, str]:
        """Return the checksum of each migration that was applied, by name."""
        return read_ledger(guest.raw)

    def migrate(self, guest: UserTransaction, migration: Migration, moment: str) -> list[NewEvent]:
        """Run a migration in the guest's transaction; return what to append."""
        return SqliteMigrator(guest.raw, migration, moment).apply()

    def captured(self, guest: UserTransaction) -> list[str]:
        """Return the names of the tables that are captured."""
        return capture.captured(guest.raw)

    def recompute(self, guest: UserTransaction) -> int:
        """Compute all tables again in the guest's transaction; return the log's position."""
        raw = guest.raw
        sequences = read_sequences(raw)
        drop_tables(raw, capture.captured(raw))
        replay = SqliteReplay(raw)
        position = replay_log(guest, replay)
        raise_sequences(raw, sequences)
        capture_again(raw, replay.tables)
        return position

    def export_snapshot(self, backend: SqlBackend, target: Path) -> int:
        """Write log and tables into a file; return the position that they are at."""
        return snapshots.export_file(backend, target)

    def import_snapshot(self, backend: SqlBackend, source: Path) -> int:
        """Become what a snapshot holds; return the position that it is at."""
        return snapshots.import_into_file(backend, source)
