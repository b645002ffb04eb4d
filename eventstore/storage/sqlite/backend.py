"""The log in one SQLite file, or in memory.

Durable by ``synchronous=FULL`` in WAL mode: each commit is fsynced before it returns.
Readers take a snapshot each and never wait for the writer. ``memory://`` is the same
code on one shared connection that lives as long as the store.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from eventstore.errors import ConfigError, StorageError
from eventstore.log.operations import Redact
from eventstore.storage.base import SqlBackend
from eventstore.storage.driver import SqliteDriver
from eventstore.storage.sqlite import file_copy as copying
from eventstore.storage.sqlite.write_turn import WriteTurn
from eventstore.storage.user_transaction import SqliteUserTransaction, append_in
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventstore.log.clock import Clock
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.operations import CommitBatch, Operation, Outcome
    from eventstore.storage.driver import Driver
    from eventstore.storage.user_transaction import UserTransaction

log = logging.getLogger(__name__)
T = TypeVar("T")

BUSY_SECONDS: Final = 30.0
"""How long SQLite waits for a writer that does not take part in the turns."""

SCRUB_MS: Final = 1_000
"""How long a redaction waits for readers to leave, in milliseconds."""

READ_CONNECTIONS: Final = 8
"""Connections kept for reading; the store never reads more pages than this at once."""


def database_path(url: str | SecretUrl) -> Path | None:
    """Return the file that a SQLite URL names, made absolute; ``None`` for ``memory://``.

    Raises ConfigError for any other URL, without a password that may be in it.
    """
    url = SecretUrl.of(url)
    if url.given == "memory://":
        return None
    if url.scheme == "memory":
        raise ConfigError(f"{url!r} is not known: a log in memory is memory://")
    path = None
    try:
        parsed = make_url(url.given)
        database = parsed.database or ""
        # Resolved, so that processes which reach the file by different links share its locks.
        path = Path(database).expanduser().resolve()
    except (ArgumentError, ValueError, RuntimeError, OSError):
        pass  # Without the error in the chain: it may quote the password.
    if path is None:
        raise ConfigError(f"{url!r} is not a database URL: use sqlite:///events.db, or memory://")
    if database in {"", ":memory:"} or not path.name:
        raise ConfigError(f"{url!r} names no file: use sqlite:///events.db, or memory://")
    if parsed.host or parsed.query:
        raise ConfigError(f"{url!r} has a host or options, which a file has not: leave them out")
    return path


def log_file(url: str | SecretUrl) -> Path | None:
    """Return the file that the log at ``url`` is; ``None`` for memory and for a server."""
    url = SecretUrl.of(url)
    return database_path(url) if url.scheme == "sqlite" else None


class SqliteBackend(SqlBackend):
    """A log on SQLite; see :class:`eventstore.storage.protocols.Backend`."""

    dialect = "sqlite"

    def __init__(
        self, url: str | SecretUrl, clock: Clock, inline: Sequence[InlineProjection] = ()
    ) -> None:
        super().__init__(clock, inline)
        self.url = str(SecretUrl.of(url))
        self.path = database_path(url)
        self._turn: WriteTurn | None = None
        self._unscrubbed = False
        # A single shared connection can serve one thread at a time only.
        self._memory_lock = threading.RLock()

    def open(self) -> None:
        """Create or check the schema, and bring inline projections up to date."""
        with translate_errors(self._where), ExitStack() as undo:
            self._engine = make_engine(self.path)
            undo.callback(self._engine.dispose)
            self._guests = make_engine(self.path, pooled=False)
            if self.path is not None:
                self._turn = WriteTurn(self.path)
                undo.callback(self._turn.close)
            # Within the turn: two connections that switch a fresh file to WAL at once get
            # "database is locked", whatever their timeout.
            with self._turn.hold() if self._turn else nullcontext():
                self._writer = self._engine.connect()
                undo.callback(self._writer.close)
            self._identity = _identity(self.path)
            self._prepare()
            undo.pop_all()

    def close(self) -> None:
        """Release every connection."""
        with self._memory_lock:
            self._writer.close()
        self._engine.dispose()
        if self._turn is not None:
            self._turn.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, SQLite's version, and the sizes of the file and its WAL."""
        facts: dict[str, str | int] = {
            "backend": "sqlite" if self.path else "memory",
            "sqlite": sqlite3.sqlite_version,
        }
        if self.path is not None:
            wal = self.path.with_name(self.path.name + "-wal")
            facts |= {
                "file": str(self.path),
                "bytes": self.path.stat().st_size,
                "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            }
        return facts

    def backup(self, target: Path, progress: Callable[[int, int], None]) -> int:
        """Copy the file as of one moment, while writers go on."""
        if self.path is None:
            return super().backup(target, progress)
        return copying.backup(self.path, target, progress)

    def restore(self, copy: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Put a copy in this log's place, in one transaction."""
        if self.path is None:
            return super().restore(copy, progress, replace=replace)
        return copying.restore(copy, self.path, progress, replace=replace)

    def user_transaction(self, *, batch: bool) -> UserTransaction:
        """Return a connection whose own statements and an append share transactions.

        ``batch`` says whether its appends tell what they appended. Raises ConfigError for a log
        in memory, which has one connection only.
        """
        if self.path is None:
            raise ConfigError(f"{self.url} has one connection, its own: use a SQLite file")
        self._check_same_file()
        with translate_errors(self._where):
            connection = self._guests.connect()
        return SqliteUserTransaction(
            connection,
            self.path,
            partial(translate_errors, self._where),
            self._check_same_file,
            partial(append_in, inline=self._inline, clock=self._clock, batch=batch),
        )

    def write(
        self, group: Sequence[Operation], tell: Callable[[CommitBatch], None] | None = None
    ) -> list[Outcome]:
        """Carry out a group in one durable transaction; take what was erased out of the WAL."""
        outcomes = super().write(group, tell)
        if self.path is not None:
            self._unscrubbed |= any(isinstance(operation, Redact) for operation in group)
            if self._unscrubbed:
                self._scrub()
        return outcomes

    def _scrub(self) -> None:
        """Empty the WAL, whose older frames still hold what was erased.

        That has to wait for readers of an older snapshot. While there are any it is tried
        again with each later write; closing the last connection does it too.
        """
        try:
            with self._turn.hold() if self._turn else nullcontext():
                raw = SqliteDriver(self._writer)
                raw.run(f"PRAGMA busy_timeout={SCRUB_MS}")
                try:
                    row = raw.row("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    raw.run(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        except (sqlite3.Error, SQLAlchemyError, OSError):
            # The redaction itself is durable: what fails here is tried again.
            log.warning("%s: the WAL cannot be emptied yet", self._where, exc_info=True)
            return
        self._unscrubbed = row is None or row[0] != 0
        if self._unscrubbed:
            log.warning("%s: a reader keeps erased content in the WAL a while longer", self._where)

    @property
    def _where(self) -> str:
        return str(self.path) if self.path else self.url

    def _check_same_file(self) -> None:
        """Raise StorageError once another file, or none, is at the path.

        SQLite would go on with the old one: appends to it would be lost without a word, and
        a follower would wait for ever.
        """
        if _identity(self.path) != self._identity:
            raise StorageError(
                self._where, "the file was replaced or removed: close the store and open it again"
            )

    def _write(self, function: Callable[[Driver], T]) -> T:
        """Hold the turn to write and a transaction; commit at the end, or leave nothing."""
        with (
            translate_errors(self._where),
            self._memory_lock if self._turn is None else self._turn.hold(),
        ):
            self._check_same_file()
            driver = SqliteDriver(self._writer)
            driver.run("BEGIN IMMEDIATE")
            try:
                result = function(driver)
                driver.run("COMMIT")
            except BaseException:
                self._writer.rollback()
                if driver.in_transaction:
                    driver.run("ROLLBACK")
                raise
            # Ends what a view's statements began in SQLAlchemy's own bookkeeping.
            self._writer.commit()
            return result

    @contextmanager
    def _snapshot(self) -> Iterator[Driver]:
        with translate_errors(self._where):
            if self.path is None:
                with self._memory_lock:
                    yield SqliteDriver(self._writer)
                return
            self._check_same_file()
            with self._engine.connect() as connection:
                driver = SqliteDriver(connection)
                driver.run("BEGIN")
                try:
                    yield driver
                finally:
                    driver.run("ROLLBACK")


def _identity(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn every error of SQLite and SQLAlchemy into StorageError, saying where."""
    try:
        yield
    except DBAPIError as error:
        raise StorageError(where, _explain(str(error.orig))) from error
    except (SQLAlchemyError, sqlite3.Error, OSError, LookupError, UnicodeDecodeError) as error:
        # Of a damaged schema SQLite complains by quoting it, in bytes that may be no text.
        raise StorageError(where, _explain(str(error))) from error


def _explain(reason: str) -> str:
    if "unable to open database file" in reason or "No such file or directory" in reason:
        return f"{reason}: does its directory exist, and may this user write there?"
    if "not a database" in reason or "no such column" in reason:
        return f"{reason}: it is no event log; name another file"
    return reason


def make_engine(path: Path | None, *, pooled: bool = True) -> Engine:
    """Make an engine that leaves BEGIN and COMMIT to its users, and perhaps keeps connections.

    Like PostgreSQL it refuses texts with NUL characters, so that views are the same on both.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path) if path else None),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **_pooling(path, pooled=pooled),
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # What is erased, or moved to another page, leaves zeros behind.
        connection.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "before_cursor_execute")
    def refuse_nul(
        _connection: Any, _cursor: Any, _sql: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        # Many rows within one statement come flat, although they are many.
        rows = parameters if many and isinstance(parameters[0], tuple) else (parameters,)
        for row in rows:
            if any(isinstance(value, str) and "\0" in value for value in row):
                raise ValueError("a text has a NUL character, which no view may hold: escape it")

    return engine


def _pooling(path: Path | None, *, pooled: bool) -> dict[str, Any]:
    if not pooled:
        return {"poolclass": NullPool}
    return {"pool_size": READ_CONNECTIONS + 1} if path else {"poolclass": StaticPool}
