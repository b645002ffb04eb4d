"""The storage's side that knows PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from projections.sql import snapshots
from projections.sql.database import Recorded, Side, append_rows
from projections.sql.events import rows_events
from projections.sql.model import SqlRefusedError
from projections.sql.postgres import capture
from projections.sql.postgres.connection import PostgresConnection
from projections.sql.postgres.migrations import PostgresMigrator, read_ledger
from projections.sql.postgres.replay import (
    PostgresReplay,
    drop_tables,
    raise_sequences,
    read_sequences,
)
from projections.sql.replay import replay_log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from eventstore import NewEvent
    from eventstore.storage.base import SqlBackend
    from eventstore.storage.postgres.user_transaction import PostgresUserTransaction
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql.migrations import Migration
    from projections.sql.postgres.capture import PgTable

# Captured values are texts, which have to mean the same whenever they are read again.
_SETTINGS: Final = (
    f"SET LOCAL {capture.SWITCH} = 'on'; SET LOCAL DateStyle = 'ISO'; "
    "SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; "
    "SET LOCAL extra_float_digits = 1"
)


class PostgresSide(Side):
    """See :class:`Side`."""

    backend_name = "postgres"
    settings = _SETTINGS

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known: tuple[str, dict[str, PgTable]] = "", {}

    def connect(self) -> PostgresConnection:
        """Return a connection for a caller."""
        return PostgresConnection(cast("PostgresUserTransaction", self.make_guest()), self)

    def close(self) -> None:
        """Do nothing: the log's backend keeps them."""

    def record(self, guest: UserTransaction, before: Mapping[str, int] | None) -> Recorded | None:
        """Append what the transaction did; ``before`` are the changes counted at its first."""
        raw: Any = guest.raw
        written, version = capture.version(raw)
        if not written:
            return None
        tables = self._read_tables(raw, version)
        if before is not None and (stray := capture.find_stray(raw, before, tables)):
            reason = f"table {stray[0]!r} is not one that a migration of this storage made"
            raise SqlRefusedError("COMMIT", reason)
        if not tables:
            return None
        events = rows_events(capture.drain(raw, tables))
        capture.clear(raw)
        return append_rows(guest, events) if events else None

    def _read_tables(self, raw: Any, version: str) -> dict[str, PgTable]:
        known = self._known
        if known[0] != version:
            names = capture.captured(raw)
            known = self._known = version, {n: capture.read_table(raw, n) for n in names}
        return known[1]

    def prepare(self, guest: UserTransaction) -> None:
        """Do nothing."""

    def lock(self, guest: UserTransaction) -> None:
        """Keep others from changing the schema until the transaction ends."""
        guest.raw.execute(self.settings)
        with guest.reading() as driver:
            driver.lock_schema()

    def ledger(self, guest: UserTransaction) -> dict[str, str]:
        """Return the checksum of each migration that was applied, by name."""
        return read_ledger(guest.raw)

    def migrate(self, guest: UserTransaction, migration: Migration, moment: str) -> list[NewEvent]:
        """Run a migration in the guest's transaction; return what to append."""
        return PostgresMigrator(guest.raw, migration, moment).apply()

    def captured(self, guest: UserTransaction) -> list[str]:
        """Return the names of the tables that are captured."""
        return capture.captured(guest.raw)

    def recompute(self, guest: UserTransaction) -> int:
        """Compute all tables again in the guest's transaction; return the log's position."""
        raw: Any = guest.raw
        names = capture.captured(raw)
        sequences = read_sequences(raw, names)
        drop_tables(raw, names)
        replay = PostgresReplay(raw)
        position = replay_log(guest, replay)
        raise_sequences(raw, sequences)
        tables = [capture.read_table(raw, name) for name in replay.tables]
        capture.install(raw, tables)
        return position

    def export_snapshot(self, backend: SqlBackend, target: Path) -> int:
        """Write log and tables into a file; return the position that they are at."""
        return snapshots.export_log(backend, target)

    def import_snapshot(self, backend: SqlBackend, source: Path) -> int:
        """Become what a snapshot holds; return the position that it is at."""
        return snapshots.import_log(backend, self, source)
