"""Followed projections in a PostgreSQL database: the log's own, or another one.

A rebuild fills temporary tables under the names of the real ones. Only its own session sees
them, and a handler's SQL finds them first. Each batch is a transaction of its own: a time limit
on transactions does not end a long rebuild, other sessions do not wait for it, and the runner
notices a newer owner with its next batch. At the end one transaction replaces the old rows,
which readers see until it commits. Where the projection's version has changed, that transaction
drops the old tables, and readers wait while the rows are copied.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from eventstore.limits import MAX_IDENTIFIER_BYTES
from eventstore.storage.held_wait import HeldError, HeldWait
from eventstore.storage.postgres.connection import SETTINGS, connection_info, is_lost
from eventstore.storage.postgres.engine import LOCK_SCHEMA, make_engine, roll_back, translate_errors
from eventstore.storage.postgres.watchdog import Watchdog
from eventstore.system.secret_url import SecretUrl
from projections.tables._builds_postgres import lock_tables
from projections.tables._computing import newer_computing, tell_computing
from projections.tables.checkpoints import own_schema, own_schema_only
from projections.tables.hidden import take_over_hidden
from projections.tables.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from projections.tables.database import Rebuild, Rebuildable

BATCH_SECONDS: Final = 300.0
"""How long one batch may take before its connection is closed."""

_IDLE: Final = "idle_in_transaction_session_timeout"
_RAISE_IDLE_LIMIT: Final = text(
    # The log's own limit protects its head row, which every append needs. A projection's handler
    # may compute for longer than that between two statements.
    f"SELECT set_config('{_IDLE}', '60s', true) WHERE current_setting('{_IDLE}') = :ours"
)

SWAP_SECONDS: Final = 3600.0
"""How long replacing the old tables by the rebuilt ones may take."""

HELD_SECONDS: Final = 30.0
"""How long it waits for those who hold the tables of an older version."""


class PostgresDatabase:
    """A PostgreSQL database; see :class:`projections.tables.database.Database`.

    Tables of a projection that can be rebuilt name no schema: they are in the first one of the
    connection's search path. The role needs the right to make temporary tables.
    """

    identifier_bytes: int | None = MAX_IDENTIFIER_BYTES
    one_writer = False
    identity: object = None

    def __init__(self, url: str | SecretUrl) -> None:
        connection_info(url)  # Names what is wrong with a URL at once.
        self.url = str(SecretUrl.of(url))
        self._given = url

    def reach(self, schema: str) -> str:
        """Return a URL that names it and a schema, without user and password."""
        name = schema if schema.isidentifier() and schema.islower() else f'"{schema}"'
        option = re.sub(r"([\\ ])", r"\\\1", name)
        return f"{self.url}?options={quote(f'-csearch_path={option}')}"

    def open(self) -> None:
        """Make ready to connect."""
        self._watchdog = Watchdog()
        self._engine = make_engine(self._given, self._watchdog)

    def close(self) -> None:
        """Release every connection."""
        self._engine.dispose()
        self._watchdog.close()

    def drop_idle_connections(self) -> None:
        """Close connections that are not in use: what ended one may have ended all."""
        self._engine.dispose()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection outside of any transaction."""
        with translate_errors(self.url), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection in a write transaction: commit at the end, or roll back."""
        with self.connection() as connection, self.within(connection):
            yield connection

    def reading(self) -> AbstractContextManager[Connection | None]:
        """Give a connection that only reads."""
        return self.transaction()

    @contextmanager
    def within(self, connection: Connection, seconds: float = BATCH_SECONDS) -> Iterator[None]:
        """Run the block in a transaction on ``connection``: commit at the end, or roll back."""
        raw: Any = connection.connection.driver_connection
        with translate_errors(self.url), self._watchdog.limit(raw, seconds):
            try:
                connection.exec_driver_sql("BEGIN")
                connection.execute(_RAISE_IDLE_LIMIT, {"ours": SETTINGS[_IDLE]})
                yield
                connection.exec_driver_sql("COMMIT")
            except BaseException as error:
                roll_back(connection, raw, error)
                if raw.closed or is_lost(error):
                    connection.invalidate()
                raise

    def lock_setup(self, connection: Connection) -> None:
        """Keep other sessions, the log's too, from creating tables until the transaction ends."""
        connection.exec_driver_sql(LOCK_SCHEMA)

    def newer_computing(self, connection: Connection, name: str, version: int) -> int | None:
        """Return which newer version of a projection a session computes now; None for none."""
        return newer_computing(connection, name, version)

    def rebuild(self, projection: Rebuildable, check: Callable[[Connection], None]) -> Rebuild:
        """Begin to compute a projection again, in tables that only this session has."""
        return _TemporaryTables(self, projection, check)


class _TemporaryTables:
    def __init__(
        self,
        database: PostgresDatabase,
        projection: Rebuildable,
        check: Callable[[Connection], None],
    ) -> None:
        self._database, self._projection, self._check = database, projection, check
        self._connecting = database.connection()
        self._connection = self._connecting.__enter__()
        try:
            with database.within(self._connection):
                self._path = self._ask("SHOW search_path")
                # Unless it is named, the schema of temporary tables would come first.
                self._run(f"SET search_path = {self._path}, pg_temp")
                # Before the check: those who own it afterwards find this.
                tell_computing(self._connection, projection.name, projection.version)
                check(self._connection)
                self._run(f"SET LOCAL search_path = pg_temp, {self._path}")
                projection.create(self._connection)
        except BaseException:
            self.abandon()
            raise

    @contextmanager
    def step(self) -> Iterator[Connection]:
        with self._database.within(self._connection):
            self._check(self._connection)
            self._run(f"SET LOCAL search_path = pg_temp, {self._path}")
            yield self._connection

    def finish(self) -> None:
        """Replace the old tables; raise ProjectionHeldError where others hold them for too long."""
        held = HeldWait(self._projection.name, HELD_SECONDS)
        try:
            while not self._finish(held):
                pass
        finally:
            self.abandon()

    def _finish(self, held: HeldWait) -> bool:
        connection = self._connection
        try:
            with self._database.within(connection, SWAP_SECONDS):
                self._run("SET LOCAL statement_timeout = 0")
                self._run("SET LOCAL idle_in_transaction_session_timeout = 0")
                self._database.lock_setup(connection)
                self._check(connection)
                self._lock_old(held.patience)
                take_over_hidden(connection, self._projection)
        except HeldError as error:
            time.sleep(held.pause(error.pids))
            return False
        return True

    def _lock_old(self, seconds: float) -> None:
        """Lock the tables of an older version, which are dropped; those that stay need no lock."""
        connection = self._connection
        if not self._projection.outdated(connection):
            return
        own, quote = own_schema(connection), connection.dialect.identifier_preparer.quote
        with own_schema_only(connection, own):
            ledger = Ledger(connection, self._projection.name, self._projection.version, ())
            names = [f"{quote(own)}.{quote(name)}" for name in ledger.present()]
        holders = lock_tables(connection, names, seconds) if names else None
        if holders is not None:
            raise HeldError(holders)

    def abandon(self) -> None:
        with suppress(SQLAlchemyError):
            self._connection.invalidate()  # Its temporary tables go with the session.
        self._connecting.__exit__(None, None, None)

    def _ask(self, sql: str) -> str:
        return str(self._connection.exec_driver_sql(sql).scalar_one())

    def _run(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)
