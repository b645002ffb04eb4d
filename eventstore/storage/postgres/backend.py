"""The log in a PostgreSQL database, for a master and workers on many machines.

While other writers are idle, one statement appends a group (`_single_statement.py`). All else that
writes locks the head row first, in a statement of its own under READ COMMITTED, and so reads what
the appends before it have committed. Readers take a snapshot and wait for no lock.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from psycopg.errors import UndefinedTable
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

from eventstore.errors import StorageError
from eventstore.limits import QUERY_THREADS
from eventstore.storage.beside_head import may_be_beside
from eventstore.storage.movable import MovableSqlBackend
from eventstore.storage.postgres import owners
from eventstore.storage.postgres._advisory_lock import SessionLock, read_held
from eventstore.storage.postgres._driver import PostgresDriver
from eventstore.storage.postgres._facts import read_facts
from eventstore.storage.postgres._hidden_tables import PostgresHiddenTables
from eventstore.storage.postgres._loop_reads import LoopReads
from eventstore.storage.postgres._replaced_tables import ReplacedError, unreplaced
from eventstore.storage.postgres._session_reset import reset_between_callers
from eventstore.storage.postgres._short_read import may_be_short, read_short
from eventstore.storage.postgres._single_statement import SingleStatement
from eventstore.storage.postgres.connection import GRACE_SECONDS as PATIENCE_SECONDS
from eventstore.storage.postgres.connection import connect, connection_info, is_lost
from eventstore.storage.postgres.engine import make_engine, roll_back, translate_errors
from eventstore.storage.postgres.user_transaction import PostgresUserTransaction
from eventstore.storage.postgres.watchdog import Watchdog
from eventstore.storage.query_limit import GRACE_SECONDS, QueryLimit
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

    from eventstore.log.clock import Clock
    from eventstore.log.inline_view import Inline
    from eventstore.log.operations import Append, Batches, Operation, Outcome, Page, Query
    from eventstore.storage._stream_cache import StreamCache
    from eventstore.storage.driver import Driver, ViewRows
    from eventstore.storage.driver import Query as Statement
    from eventstore.storage.postgres.connection import Session
    from eventstore.storage.postgres.watchdog import Limit
    from eventstore.storage.protocols import LockHolder, NamedLock
    from eventstore.storage.user_transaction import UserTransaction

T = TypeVar("T")

USER_CONNECTIONS: Final = 8
"""How many connections stay open for callers' own statements."""

WRITE: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""Set for each transaction: a snapshot taken before the wait for the head would be too old."""

_QUERY_LIMITS: Final = (
    "SELECT pg_catalog.set_config('statement_timeout', ?, true), "
    "pg_catalog.set_config('idle_in_transaction_session_timeout', ?, true), "
    "pg_catalog.pg_advisory_unlock_all()"
)
"""Ends what this process cannot end any more, because it was stopped or its network is gone.

It also releases the locks that an earlier query has left to the session.
"""

READ: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresBackend(MovableSqlBackend):
    """A log on PostgreSQL 13 or newer; see :class:`eventstore.storage.protocols.Backend`."""

    dialect = "postgresql"
    step_seconds = 0.1  # No writer waits for a step here, and each of its commits costs.
    _advice = "use pg_dump and pg_restore, or 'eventstore export' and 'eventstore import'"

    def __init__(self, url: str | SecretUrl, clock: Clock, inline: Inline = ()) -> None:
        super().__init__(clock, inline)
        self._info = connection_info(url)
        self.url = str(SecretUrl.of(url))
        self.path = None
        self._watchdog = Watchdog()
        self._engine = make_engine(url, self._watchdog)
        # As many as callers ask for: what limits them is the server.
        many = partial(make_engine, url, self._watchdog, max_overflow=-1)
        self._user_engine = many(pool_size=USER_CONNECTIONS)
        reset_between_callers(self._user_engine, self._watchdog)
        self._query_engine = many(pool_size=QUERY_THREADS)
        for engine in (self._engine, self._query_engine):
            event.listen(engine, "checkout", self._drop_old)
        self._loop_reads = LoopReads(partial(connect, self._info, self._watchdog))
        self._writer: Connection | None = None
        self._writer_lock = threading.Lock()
        self._asks_ahead = True
        self._lost_at = 0.0
        self._closed = False
        using = self._streams, self._known, self._watch, self._writing_driver
        self._single = SingleStatement(*using)
        self._make_lock = partial(SessionLock, self._info, self.url)

    def _drop_old(self, raw: Session, _record: object, _proxy: object) -> None:
        # What ended one connection, such as a restart, has ended those that were made before it.
        if raw.made < self._lost_at:
            raise DisconnectionError

    @property
    def _where(self) -> str:
        return self.url

    def open(self, *, create: bool = True) -> None:
        """Create or check the schema, and bring inline projections up to date."""
        with ExitStack() as undo:
            undo.callback(self.close)
            self._check_objects()
            self._prepare(current=not create and self._read(self._is_current))
            if create:
                self._check_objects()
            undo.pop_all()

    def _check_objects(self) -> None:
        """Raise StorageError where another role made what the log uses; pin the log's functions."""
        with self._snapshot() as driver:
            owners.check_owners(driver.raw, self._where)
            loose = owners.find_loose_functions(driver.raw)
        if loose:
            self._write(lambda driver: owners.pin_functions(driver.raw))

    def close(self) -> None:
        """Release every connection; one that is being used goes once it has been."""
        self._closed = True
        self._loop_reads.close()
        if self._writer_lock.acquire(blocking=False):
            with self._writer_ends():
                pass
        self._engine.dispose()
        self._query_engine.dispose()
        self._user_engine.dispose()
        self._watchdog.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, the server's version, and the size of the log's tables in bytes."""
        return self._read(read_facts)

    def user_transaction(self, *, batch: bool) -> UserTransaction:
        """Return a connection whose own statements and an append share transactions.

        ``batch`` says whether its appends tell what they appended.
        """
        translate = partial(translate_errors, self._where)
        with translate():
            connection = self._user_engine.connect()
        append = self._append_in(batch=batch)
        return PostgresUserTransaction(connection, self._where, self._watchdog, translate, append)

    def _write_within(
        self, driver: Driver, append: Append, cache: StreamCache, now_us: int, batches: Batches
    ) -> list[Outcome]:
        """Carry out an append, by one statement where all that it needs is known."""
        if not self._inline:
            use = nullcontext(cast("PostgresDriver", driver))
            single = SingleStatement(cache, self._known, self._watch, lambda: use)
            outcomes = single.write([append], now_us, batches)
            if outcomes is not None:
                return outcomes
        return super()._write_within(driver, append, cache, now_us, batches)

    def named_lock(self, name: str) -> NamedLock:
        """Return a lock on a connection of its own."""
        return self._make_lock(name)

    def named_locks(self) -> list[LockHolder]:
        """Return each lock that is held now, by name."""
        return self._read(read_held)

    def _write_group(self, group: Sequence[Operation], batches: Batches) -> list[Outcome]:
        """Carry out a group, by one statement where all that it needs is known."""
        outcomes = None if self._inline else self._single.write(group, self._clock(), batches)
        if outcomes is not None:
            return outcomes
        try:
            return super()._write_group(group, batches)
        except StorageError as error:
            if not isinstance(error.__cause__, UndefinedTable) or not self._asks_ahead:
                raise
        # What was asked ahead has no table: asked in its own turn, it says what has happened.
        self._asks_ahead = False
        try:
            return super()._write_group(group, batches)
        finally:
            self._asks_ahead = True

    @contextmanager
    def _writing_driver(self) -> Iterator[PostgresDriver]:
        """Give what writes, for statements outside of a transaction."""
        with self._writing_connection() as writer, self._limited(writer) as (_, limit):
            yield PostgresDriver(writer, limit)

    def _write(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes: commit, or leave nothing."""
        with self._writing_connection() as writer:
            with self._transaction(writer, WRITE) as driver:
                driver.asks_ahead = self._asks_ahead
                result = function(driver)
                driver.commit()
            # Ends the transaction that SQLAlchemy began for a projection's statements.
            writer.commit()
            return result

    @contextmanager
    def _writing_connection(self) -> Iterator[Connection]:
        """Give the connection that writes, to one thread at a time."""
        self._writer_lock.acquire()
        with self._writer_ends(), translate_errors(self._where):
            if self._closed:
                raise StorageError(self._where, "the store was closed before this was written")
            if self._writer is None:
                self._writer = self._engine.connect()
            yield self._writer

    @contextmanager
    def hidden(self) -> Iterator[PostgresHiddenTables]:
        """Give a session for temporary tables."""
        with translate_errors(self._where), self._engine.connect() as connection:
            try:
                yield PostgresHiddenTables(
                    connection, lambda seconds: self._transaction(connection, WRITE, seconds)
                )
            finally:
                if not connection.invalidated:
                    connection.invalidate()

    @contextmanager
    def _writer_ends(self) -> Iterator[None]:
        """Drop the writing connection if it is of no more use, then release its lock."""
        try:
            yield
        finally:
            writer = self._writer
            if writer is not None and (self._closed or writer.invalidated):
                self._writer = None
                with translate_errors(self._where):
                    writer.invalidate()
                    writer.close()
            self._writer_lock.release()

    def page(self, query: Query) -> Page:
        """Read one page from one snapshot, in one exchange where that is enough."""
        page = self._read(partial(read_short, query=query)) if may_be_short(query) else None
        return super().page(query) if page is None else page

    def _read(self, function: Callable[[Any], T]) -> T:
        """Call ``function`` in a snapshot; retry once where the connection was lost."""
        try:
            return super()._read(function)
        except StorageError as error:
            if not error.transient:
                raise
            return super()._read(function)

    def _query(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        """Call ``function`` in a snapshot, on a connection for queries."""
        return self._twice(partial(self._query_once, function, limit), limit)

    def _twice(self, query: Callable[[], T], limit: QueryLimit) -> T:
        """Return what a query returns; repeat it where the connection was lost.

        Once, and as often as tables were replaced meanwhile, until its time is over.
        """
        lost = False
        while True:
            try:
                return query()
            except ReplacedError:
                if limit.interrupted:
                    raise
            except StorageError as error:
                if not error.transient or limit.interrupted or lost:
                    raise
                lost = True

    def _query_once(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        with self._snapshot(self._query_engine, limit.left + PATIENCE_SECONDS) as driver:
            server_limit = f"{math.ceil((limit.left + GRACE_SECONDS) * 1000)}ms"
            driver.defer(_QUERY_LIMITS, (server_limit, server_limit))
            session = driver.raw
            with session.interrupting(limit.is_over), unreplaced(driver, self._where):
                result = function(driver)
            driver.leave()
            return result

    def _look(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        """Call ``function``, which changes no setting of the connection, in a snapshot."""
        return self._twice(partial(self._look_once, function, limit), limit)

    def look(self, view: str, queries: Sequence[Statement], limit: QueryLimit) -> ViewRows:
        """Return the rows of queries, with head and checkpoint: of one by a single statement."""
        if len(queries) > 1 or not may_be_beside(queries[0]):
            return super().look(view, queries, limit)
        alone = partial(self._look_alone, view, queries[0], limit)
        return limit.within(partial(self._twice, alone, limit))

    async def look_in_loop(
        self, view: str, queries: Sequence[Statement], seconds: float
    ) -> ViewRows | None:
        """Return the rows of queries; the event loop waits for the answer."""
        return await self._loop_reads.look(view, queries, QueryLimit(self._where, seconds))

    def _look_alone(self, view: str, query: Statement, limit: QueryLimit) -> ViewRows:
        with (
            translate_errors(self._where),
            self._query_engine.connect() as connection,
            self._limited(connection, limit.left + PATIENCE_SECONDS) as (session, watched),
            session.interrupting(limit.is_over),
            self._kept_while_open(connection),
        ):
            return PostgresDriver(connection, watched).look_alone(view, query)

    def _look_once(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        with (
            self._snapshot(self._query_engine, limit.left + PATIENCE_SECONDS) as driver,
            driver.session.interrupting(limit.is_over),
        ):
            return function(driver)

    @contextmanager
    def _snapshot(
        self, engine: Engine | None = None, seconds: float | None = None
    ) -> Iterator[PostgresDriver]:
        with (
            translate_errors(self._where),
            (engine or self._engine).connect() as connection,
            self._kept_while_open(connection),
            self._transaction(connection, READ, seconds) as driver,
        ):
            yield driver
            if driver.in_transaction:
                driver.commit()

    @contextmanager
    def _kept_while_open(self, connection: Connection) -> Iterator[None]:
        """Drop a connection that was read from while the log was closed."""
        try:
            yield
        finally:
            if self._closed and not connection.invalidated:
                connection.invalidate()

    @contextmanager
    def _transaction(
        self, connection: Connection, begin: str, seconds: float | None = None
    ) -> Iterator[PostgresDriver]:
        """Give a driver within a transaction, which the block commits.

        ``seconds`` are for each statement, by default those that the server allows.
        """
        with self._limited(connection, seconds) as (raw, limit):
            try:
                driver = PostgresDriver(connection, limit)
                driver.keep_alive = limit.go_on
                driver.defer(begin)
                yield driver
            except BaseException as error:
                limit.go_on()
                roll_back(connection, raw, error)
                raise

    @contextmanager
    def _limited(
        self, connection: Connection, seconds: float | None = None
    ) -> Iterator[tuple[Session, Limit]]:
        """Give a connection's session for statements of ``seconds``; drop it where it was lost."""
        raw: Any = connection.connection.driver_connection
        try:
            with self._watchdog.limit(raw, seconds or raw.patience) as limit:
                yield raw, limit
        except BaseException as error:
            if raw.closed or is_lost(error):
                self._lost_at = time.monotonic()
                connection.invalidate()
            raise
