"""The log in a PostgreSQL database, for a master and workers on many machines.

An append locks the head row first, in a statement of its own under READ COMMITTED, so that
whatever it reads afterwards is what the appends before it have committed. Readers take a
snapshot and wait for nobody.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from eventstore.backends.postgres_driver import PostgresDriver
from eventstore.backends.session_lock import SessionLock, read_held
from eventstore.backends.sql import SqlBackend
from eventstore.errors import StorageError
from eventstore.postgres import connect, connection_info, is_lost, safe_url
from eventstore.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection

    from eventstore.backends.driver import Driver
    from eventstore.ports import Clock, InlineProjection, LockHolder, NamedLock

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_CONNECTIONS: Final = 2
READ_CONNECTIONS: Final = 8
"""Connections for reading: how many stay open, and how many there are at the most."""

OPERATION_SECONDS: Final = 60.0
"""How long one read or one group may take before its connection is given up."""


def make_engine(url: str, watchdog: Watchdog) -> Engine:
    """Make an engine that leaves BEGIN and COMMIT to its users."""
    info = connection_info(url)
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(info, watchdog),
        isolation_level="AUTOCOMMIT",
        pool_size=IDLE_CONNECTIONS,
        max_overflow=READ_CONNECTIONS - IDLE_CONNECTIONS,
    )


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn every error of psycopg and SQLAlchemy into StorageError, saying where."""
    try:
        yield
    except (psycopg.Error, SQLAlchemyError, OSError, LookupError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise StorageError(where, _explain(cause, reason), transient=is_lost(cause)) from error


def _explain(error: BaseException | None, reason: str) -> str:
    if isinstance(error, psycopg.errors.InvalidSchemaName):
        return f"{reason}: create the schema that the URL's search_path names"
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return f"{reason}: its tables are not an event log's; name another schema or database"
    return reason


class PostgresBackend(SqlBackend):
    """A log on PostgreSQL 13 or newer; see :class:`eventstore.ports.Backend`."""

    dialect = "postgresql"
    _advice = "use pg_dump and pg_restore, or 'eventstore export' and 'eventstore import'"

    def __init__(self, url: str, clock: Clock, inline: Sequence[InlineProjection] = ()) -> None:
        super().__init__(clock, inline)
        self.url = safe_url(url)
        self.path = None
        self._watchdog = Watchdog()
        self._engine = make_engine(url, self._watchdog)
        self._writer: Connection | None = None
        self._closed = False
        self._make_lock = partial(SessionLock, connection_info(url), self.url)

    @property
    def _where(self) -> str:
        return self.url

    def open(self) -> None:
        """Create or check the schema, and bring inline projections up to date."""
        with ExitStack() as undo:
            undo.callback(self.close)
            self._prepare()
            undo.pop_all()

    def close(self) -> None:
        """Release every connection; one that still reads goes once it has read."""
        self._closed = True
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()
        self._watchdog.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, the server's version, and the size of the log's tables in bytes."""

        def ask(driver: Driver) -> dict[str, str | int]:
            row = driver.row(
                "SELECT current_setting('server_version'), current_schema(), "
                "(pg_total_relation_size('event') + pg_total_relation_size('stream'))::bigint"
            )
            version, schema, size = row or ("", "", 0)
            return {"backend": "postgresql", "server": version, "schema": schema, "bytes": size}

        return self._read(ask)

    def named_lock(self, name: str) -> NamedLock:
        """Return a lock on a connection of its own."""
        return self._make_lock(name)

    def named_locks(self) -> list[LockHolder]:
        """Return each lock that somebody holds now, by name."""
        return self._read(read_held)

    def _write(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes: commit, or leave nothing."""
        with translate_errors(self._where):
            if self._writer is None:
                self._writer = self._engine.connect()
            try:
                with self._transaction(self._writer, "BEGIN") as driver:
                    result = function(driver)
                    driver.run("COMMIT")
            except BaseException:
                self._forget_broken_writer()
                raise
            # Ends what a view's statements began in SQLAlchemy's own bookkeeping.
            self._writer.commit()
            return result

    def _read(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a snapshot; again on a new connection where one was lost."""
        try:
            return super()._read(function)
        except StorageError as error:
            if not error.transient:
                raise
            # Whatever ended this connection, a restart say, has ended those in the pool.
            self._engine.dispose()
            return super()._read(function)

    @contextmanager
    def _snapshot(self) -> Iterator[Driver]:
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        with translate_errors(self._where), self._engine.connect() as connection:
            try:
                with self._transaction(connection, begin) as driver:
                    yield driver
                    driver.run("COMMIT")
            finally:
                if self._closed and not connection.invalidated:
                    connection.invalidate()

    @contextmanager
    def _transaction(self, connection: Connection, begin: str) -> Iterator[Driver]:
        """Give a driver within a transaction, which the block commits."""
        raw = connection.connection.driver_connection
        with self._watchdog.limit(raw, OPERATION_SECONDS):
            driver = PostgresDriver(connection)
            driver.keep_alive = partial(self._watchdog.extend, raw, OPERATION_SECONDS)
            try:
                driver.defer(begin)
                yield driver
            except BaseException:
                roll_back(connection, raw)
                raise

    def _forget_broken_writer(self) -> None:
        writer, raw = self._writer, None
        if writer is not None:
            raw = None if writer.invalidated else writer.connection.driver_connection
        if writer is not None and (raw is None or raw.closed):
            writer.close()
            self._writer = None


def roll_back(connection: Connection, raw: Any) -> None:
    """End the transaction, or the connection where that is not possible any more."""
    if not raw.closed:
        try:
            raw.rollback()
            connection.rollback()
        except (psycopg.Error, SQLAlchemyError):
            log.debug("the connection cannot roll back; it is dropped", exc_info=True)
        else:
            return
    connection.invalidate()
