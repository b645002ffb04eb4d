"""SQL storage on PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from projections.sql._dialect import Recorded, SqlDialect, append_rows
from projections.sql._identifiers import CAPTURE, LEDGER, later_reserved
from projections.sql.model import SqlRefusedError
from projections.sql.postgres import _snapshots
from projections.sql.postgres._capture import PostgresCapture
from projections.sql.postgres._guard import NONE, Names
from projections.sql.postgres._migrations import PostgresMigrator
from projections.sql.postgres._row_counts import Counts, find_uncaptured_writes, is_catalog
from projections.sql.postgres._schema import PostgresSchema, PostgresTable
from projections.sql.postgres._triggers import CAPTURE_SETTING
from projections.sql.postgres.connection import PostgresConnection
from projections.sql.postgres.parser import check_parser
from projections.sql.postgres.replay import PostgresReplay

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.storage.movable import MovableSqlBackend
    from eventstore.storage.postgres.user_transaction import PostgresUserTransaction
    from eventstore.storage.user_transaction import UserTransaction

# Captured values are texts, and a text has to mean the same when a replay reads it.
_SETTINGS: Final = ", ".join(
    f"pg_catalog.set_config('{name}', '{value}', true)"
    for name, value in {
        CAPTURE_SETTING: "on",
        "DateStyle": "ISO",
        "IntervalStyle": "postgres",
        "bytea_output": "hex",
        "extra_float_digits": "1",
    }.items()
)


class _KnownTables(NamedTuple):
    """The captured tables, as of one version of the trigger on ``one`` of them."""

    one: int
    version: int | None
    tables: dict[str, PostgresTable]
    uncaptured: frozenset[str]
    """Tables that may be written, and are declared not to be captured."""
    numbers: frozenset[int]
    """Those of all of these tables, and of the capture table."""


def _read_tables(raw: Any) -> _KnownTables:
    schema, capture = PostgresSchema(raw), PostgresCapture(raw)
    one = capture.find_any_table()
    version = capture.look_version(one)
    names = capture.list_tables()
    tables = {name: schema.read_table(name) for name in names}
    uncaptured = schema.read_uncaptured()
    numbers = schema.number_tables([*tables, *uncaptured, CAPTURE])
    return _KnownTables(one, version, tables, uncaptured, numbers)


class PostgresDialect(SqlDialect):
    """See :class:`SqlDialect`."""

    name = "postgres"
    capture_type = PostgresCapture
    schema_type = PostgresSchema
    migrator_type = PostgresMigrator
    replay_type = PostgresReplay
    settings = _SETTINGS
    """What each transaction selects at its beginning."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        check_parser()
        self._known = _KnownTables(0, None, {}, frozenset(), frozenset())
        self.own: Names = NONE
        """Reserved names that the program's tables have since before they were reserved."""
        self._has_own = False

    def connect(self) -> PostgresConnection:
        """Return a connection for a caller."""
        transaction = cast("PostgresUserTransaction", self._open_transaction())
        if not self._has_own:
            try:
                self._read_own(transaction)
            except BaseException:
                transaction.close()
                raise
            self._has_own = True
        return PostgresConnection(transaction, self)

    def _read_own(self, transaction: UserTransaction) -> None:
        # Once for all: no table can get such a name any more, but for the ledger's.
        with transaction.translated():
            schema = PostgresSchema(transaction.raw)
            schema.set_own(later_reserved(PostgresCapture(transaction.raw).list_tables()))
            self.own = schema.own

    def learn_names(self, transaction: UserTransaction) -> bool:
        """Look whether the program has got the ledger's name since; return True if it has."""
        before = self.own
        if LEDGER not in before:
            self._read_own(transaction)
        return self.own != before

    def close(self) -> None:
        """Do nothing: the log's backend pools the connections."""

    def record(self, transaction: PostgresUserTransaction, counts: Counts) -> Recorded | None:
        """Append what the transaction did; return ``None`` if it changed no row.

        ``counts`` are the changed rows of each table, counted at its beginning. Raises
        SqlRefusedError for writes to tables that are not captured.
        """
        raw: Any = transaction.raw
        capture = PostgresCapture(raw, transaction.defer)
        known = self._known
        written = capture.look(known.one)
        if not written.any:
            return None
        if written.version is None or written.version != known.version:
            known = self._known = _read_tables(raw)
        tables, allowed = known.tables, known.uncaptured.union(known.tables)
        if others := find_uncaptured_writes(raw, written.counts, counts, allowed, known.numbers):
            reason = f"table {others[0]!r} is not one that a migration of this storage made"
            if is_catalog(others[0]):
                reason = "a function has changed the schema, which only migrations change"
            raise SqlRefusedError("COMMIT", reason)
        if not tables:
            return None
        events = capture.take_events(tables)
        return append_rows(transaction, events) if events else None

    def _prepare(self, transaction: UserTransaction) -> None:
        """Do nothing: the transaction's own settings suffice."""

    def _lock_schema(self, transaction: UserTransaction) -> None:
        transaction.raw.execute(f"SELECT {self.settings}")
        with transaction.reading() as driver:
            driver.lock_schema()

    def export_snapshot(self, backend: MovableSqlBackend, target: Path) -> int:
        """Write the log into a file; return its last position."""
        return _snapshots.export_snapshot(backend, target)

    def import_snapshot(self, backend: MovableSqlBackend, source: Path) -> int:
        """Fill an empty log from a file, and compute the tables; return their position."""
        with (
            closing(self._open_transaction()) as transaction,
            transaction.translated(),
            self.changing_schema(transaction),
        ):
            _snapshots.load_log(transaction, source, backend.url)
            return self.recompute(transaction)
