"""A caller's own transactions in the log's PostgreSQL database.

See :mod:`eventstore.storage.user_transaction`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import StorageError
from eventstore.storage._stream_cache import StreamCache
from eventstore.storage.postgres._driver import PostgresDriver
from eventstore.storage.postgres._session_reset import LIMITS
from eventstore.storage.postgres.connection import is_lost
from eventstore.storage.user_transaction import DriverTransaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from eventstore.log.events import Appended
    from eventstore.log.operations import Append, CommitBatch
    from eventstore.storage.driver import Query
    from eventstore.storage.postgres.watchdog import Watchdog
    from eventstore.storage.user_transaction import AppendIn, Translate

log = logging.getLogger(__name__)
T = TypeVar("T")

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

# The log's own limits are for transactions that lock its head. A caller's statements do not, and
# may take as long as the server's administrator allows. Outside a transaction nothing is written.
_SETTINGS: Final = (
    "; ".join(f"SET {name} TO DEFAULT" for name in LIMITS)
    + "; SET default_transaction_read_only = on"
)
_WITH_HEAD: Final = (
    "SELECT set_config('statement_timeout', '50s', true), set_config('lock_timeout', '30s', true), "
    "set_config('idle_in_transaction_session_timeout', '10s', true)"
)


class PostgresUserTransaction(DriverTransaction):
    """A connection on which a caller's statements and an append share transactions.

    The log's head is locked by :meth:`append`; a caller blocks no other writer before that.
    """

    def __init__(
        self,
        connection: Connection,
        where: str,
        watchdog: Watchdog,
        translate: Translate,
        append: AppendIn,
    ) -> None:
        super().__init__(connection.connection.driver_connection, translate, append)
        self._connection = connection
        self._where = where
        self._watchdog = watchdog
        self._open = False
        self._deferred: list[Query] = []
        session: Any = self.raw
        if not session.has_user_limits:
            with translate():
                session.execute(_SETTINGS)
            session.has_user_limits = True

    @property
    def active(self) -> bool:
        """Whether a transaction was begun here, and the database has not ended it."""
        return self._open and not self.raw.closed

    @contextmanager
    def reading(self) -> Iterator[PostgresDriver]:
        """Give what reads the log on this connection, within a transaction, with its limits."""
        with (
            self.translated(),
            self._watchdog.limit(self.raw, self.raw.patience) as limit,
        ):
            driver = PostgresDriver(self._connection, limit)
            driver.keep_alive = limit.go_on
            yield driver

    def check(self) -> None:
        """Do nothing: the pool has checked that the connection lives."""

    def begin(self, settings: str = "") -> Any:
        """Begin a transaction with these statements; it locks nothing yet. Return their results."""
        self._open = True  # Also where a setting fails: then there is something to roll back.
        with self.translated():
            return self.raw.execute(f"{BEGIN}; {settings}")

    def begin_with(
        self, query: str, call: Callable[[Any], T]
    ) -> tuple[tuple[Any, ...], T | Exception]:
        """Begin a transaction with a query and the statement of ``call``, in one exchange.

        ``call`` is given the driver's connection. Returns the query's row, and the result of
        ``call`` or what its statement raised. Raises StorageError where nothing was begun.
        """
        self._open = True  # Also where a step fails: then there is something to roll back.
        first: Any = None
        with self.translated():
            try:
                with self.raw.pipeline():
                    self.raw.execute(BEGIN)
                    first = self.raw.execute(query)
                    done: T | Exception = call(self.raw)
            except Exception as error:  # Any error that the caller's statement raises.
                if first is None or first.pgresult is None:
                    raise
                done = error
        return first.fetchone(), done

    def defer(self, sql: str) -> None:
        """Execute a statement together with the next one of :meth:`append` or :meth:`commit`."""
        self._deferred.append((sql, ()))

    def append(self, append: Append) -> tuple[Appended, CommitBatch | None]:
        """Lock the log's head, and append within the transaction.

        The last statements of that are sent with the COMMIT.
        """
        cache = self.raw.stream_cache
        if cache is None:
            cache = self.raw.stream_cache = StreamCache()
        with self.reading() as driver:
            self._defer_to(driver)
            driver.defer(_WITH_HEAD)
            appended = self._append(driver, append, cache)
            self._deferred = driver.take_deferred()
            return appended

    def _defer_to(self, driver: PostgresDriver) -> None:
        deferred, self._deferred = self._deferred, []
        for sql, parameters in deferred:
            driver.defer(sql, parameters)

    def commit(self) -> None:
        """Commit, durably. A connection that is lost meanwhile leaves the outcome unknown."""
        try:
            with self.reading() as driver:
                self._defer_to(driver)
                driver.commit()
                # Ends the transaction that SQLAlchemy began for a projection's statements.
                self._connection.commit()
            self._open = False
        finally:
            self.rollback()

    def rollback(self) -> None:
        """Roll the transaction back; drop a connection that cannot any more."""
        self._deferred = []
        if not self._open:
            return
        self._open = False
        if self.raw.closed:
            return
        try:
            self.raw.rollback()
            self._connection.rollback()
        except (psycopg.Error, SQLAlchemyError) as error:
            log.debug("the connection cannot roll back; it is dropped", exc_info=True)
            self.raw.close()
            if not is_lost(error):
                raise StorageError(self._where, str(error)) from error

    def close(self) -> None:
        """Roll back, and release the connection, which the pool resets."""
        try:
            self.rollback()
        finally:
            if self.raw.closed:
                self._connection.invalidate()
            self._connection.close()
