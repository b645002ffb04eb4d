"""A copy of the tables in a PostgreSQL schema of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg

from eventstore.errors import ProjectionError
from eventstore.storage.postgres.connection import connect, connection_info
from eventstore.storage.postgres.engine import translate_errors
from eventstore.storage.postgres.watchdog import Watchdog
from eventstore.system.secret_url import SecretUrl
from projections.protocol import ProjectionBusyError
from projections.sql._copy_database import STATE, CopyDatabase
from projections.sql.postgres._schema import PostgresSchema
from projections.sql.postgres.replay import PostgresReplay

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_LIST_OBJECTS: Final = (
    # Tables, views and sequences; functions and types that are no extension's.
    "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = "
    "current_schema()::regnamespace::oid "
    "AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') "
    "UNION ALL SELECT proname FROM pg_catalog.pg_proc p WHERE pronamespace = "
    "current_schema()::regnamespace::oid "
    "AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND "
    "d.deptype = 'e') "
    "UNION ALL SELECT typname FROM pg_catalog.pg_type t WHERE typnamespace = "
    "current_schema()::regnamespace::oid "
    "AND typtype IN ('e', 'd') "
    "AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = t.oid AND "
    "d.deptype = 'e') "
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
_LOCK: Final = (
    "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext("
    "pg_catalog.concat('sql copy ', current_schema()))::int8)"
)
ANSWER_SECONDS: Final = 5.0
"""How long a server may take to end a copy's transaction and to release its lock."""
# A rebuild is one transaction, which is idle while the log is read.
_SETTINGS: Final = (
    "SET idle_in_transaction_session_timeout = 0; SET DateStyle = 'ISO'; "
    "SET IntervalStyle = 'postgres'"
)


class PostgresCopy(CopyDatabase):
    """See :class:`CopyDatabase`. The schema is the one that the URL leads to."""

    replay_type = PostgresReplay
    schema_type = PostgresSchema
    create_state = _CREATE
    store_state = _STORE
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED"

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name, str(SecretUrl(url)))
        self._info = connection_info(url)
        self._watchdog = Watchdog()

    def _connect(self) -> None:
        self._raw = connect(self._info, self._watchdog)
        self._raw.execute(_SETTINGS)
        if not self._raw.execute(_LOCK).fetchone()[0]:
            raise ProjectionBusyError(self.name, f"another runner ({self.place})")

    def _list_objects(self) -> list[str]:
        return [name for (name,) in self._raw.execute(_LIST_OBJECTS).fetchall()]

    def _translated(self) -> AbstractContextManager[None]:
        return translate_errors(self.place)

    def _roll_back(self) -> None:
        if not self._raw.closed:
            self._raw.rollback()

    def _disconnect(self, raw: Any) -> None:
        if raw is None:
            return
        # A server may learn of a closed connection later than the next runner asks for the lock.
        with suppress(psycopg.Error, OSError), self._watchdog.limit(raw, ANSWER_SECONDS):
            raw.rollback()
            raw.execute("SELECT pg_catalog.pg_advisory_unlock_all()")
        try:
            raw.close()
        except psycopg.Error as error:
            raise ProjectionError(self.name, 0, str(error)) from error
