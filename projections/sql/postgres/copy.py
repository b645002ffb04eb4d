"""A copy of the tables in a PostgreSQL schema of its own, kept from the log alone."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg

from eventstore import Cursor
from eventstore.errors import ConfigError, HistoryDivergedError, ProjectionError
from eventstore.storage.postgres.backend import translate_errors
from eventstore.storage.postgres.connection import connect, connection_info
from eventstore.storage.postgres.watchdog import Watchdog
from eventstore.system.secret_url import SecretUrl
from projections.protocol import ProjectionBusyError
from projections.sql.model import ReplayError
from projections.sql.postgres.replay import PostgresReplay, drop_tables
from projections.sql.sqlite.copy import NOT_EMPTY, STATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore import Event

_THERE: Final = (
    # Tables, views and sequences; functions and types that are no extension's.
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
    "AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') "
    "UNION ALL SELECT proname FROM pg_proc p WHERE pronamespace = current_schema()::regnamespace "
    "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') "
    "UNION ALL SELECT typname FROM pg_type t WHERE typnamespace = current_schema()::regnamespace "
    "AND typtype IN ('e', 'd') "
    "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e') "
    "ORDER BY 1"
)
_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {STATE} (one INTEGER PRIMARY KEY CHECK (one = 1), log_id TEXT "
    "NOT NULL, position BIGINT NOT NULL, hash BYTEA NOT NULL, tables TEXT NOT NULL)"
)
_STORE: Final = (
    f"INSERT INTO {STATE} VALUES (1, %s, %s, %s, %s) ON CONFLICT (one) DO UPDATE SET "
    "log_id = excluded.log_id, position = excluded.position, hash = excluded.hash, "
    "tables = excluded.tables"
)
_LOCK: Final = "SELECT pg_try_advisory_lock(hashtext('sql copy ' || current_schema()))"
# A rebuild is one transaction, which waits while the log is read.
_SETTINGS: Final = (
    "SET idle_in_transaction_session_timeout = 0; SET DateStyle = 'ISO'; "
    "SET IntervalStyle = 'postgres'"
)


class PostgresCopy:
    """See :class:`projections.sql.SqlCopy`. The schema is the one that the URL leads to."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self._info = connection_info(url)
        self.place = str(SecretUrl(url))
        self._watchdog = Watchdog()
        self._session: Any = None
        self._tables: list[str] = []
        self._kept: list[str] = []
        self._rebuilding = False

    def open(self, log_id: str) -> Cursor | None:
        """Own the schema's copy; return how far it has come."""
        try:
            with translate_errors(self.place):
                self._session = raw = connect(self._info, self._watchdog)
                raw.execute(_SETTINGS)
                return self._read_state(log_id)
        except BaseException:
            self.close()
            raise

    def _read_state(self, log_id: str) -> Cursor | None:
        raw = self._session
        if not raw.execute(_LOCK).fetchone()[0]:
            raise ProjectionBusyError(self.name, f"another runner ({self.place})")
        known = [name for (name,) in raw.execute(_THERE).fetchall()]
        if known and STATE not in known:
            # A rebuild would drop their views, functions and types.
            raise ConfigError(f"{self.place} {NOT_EMPTY.format(known[0])}")
        raw.execute(_CREATE)
        row = raw.execute(f"SELECT log_id, position, hash, tables FROM {STATE}").fetchone()
        if row is None:
            return None
        made_of, position, digest, tables = row
        if made_of != log_id:
            raise HistoryDivergedError(position, 0, f"the copy was made of log {made_of}")
        self._tables = json.loads(tables)
        return Cursor(made_of, position, bytes(digest))

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, and store the cursor, in one transaction."""
        with self._transaction() as raw:
            replay = PostgresReplay(raw)
            replay.tables = self._tables
            try:
                replay.apply(events)
                replay.finish()
            except ReplayError as error:
                raise ProjectionError(self.name, error.position, error.reason) from error
            state = cursor.log_id, cursor.position, cursor.hash, json.dumps(replay.tables)
            raw.execute(_STORE, state)
        self._tables = replay.tables

    def begin_rebuild(self) -> None:
        """Drop the copy's tables, in a transaction that readers do not see the end of yet."""
        with translate_errors(self.place):
            if self._rebuilding:
                self._session.execute("ROLLBACK")
                self._tables = self._kept
            self._session.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            self._rebuilding, self._kept = True, self._tables
            drop_tables(self._session, self._tables)
            self._session.execute(f"DELETE FROM {STATE}")
        self._tables = []

    def finish_rebuild(self) -> None:
        """Let readers see the new tables."""
        with translate_errors(self.place):
            self._session.execute("COMMIT")
        self._rebuilding = False

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        raw = self._session
        with translate_errors(self.place):
            if self._rebuilding:
                yield raw
                return
            raw.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                yield raw
                raw.execute("COMMIT")
            except BaseException:
                if not raw.closed:
                    raw.rollback()
                raise

    def close(self) -> None:
        """Give the copy up. An unfinished rebuild is rolled back."""
        raw, self._session, self._rebuilding = self._session, None, False
        if raw is not None:
            try:
                raw.close()
            except psycopg.Error as error:
                raise ProjectionError(self.name, 0, str(error)) from error
