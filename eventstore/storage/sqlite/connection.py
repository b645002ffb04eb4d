"""How the log's SQLite file is connected to.

The log's own statements need the module sqlite3 alone. SQLAlchemy is imported, and put upon a
connection, when a projection's statements are to run in the log's transaction.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from eventstore.storage.sqlite.forked_files import check_inherited, check_usable
from eventstore.system.owners import keep_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

BUSY_SECONDS: Final = 30.0
"""How long SQLite waits for a writer that does not take turns."""

READ_CONNECTIONS: Final = 8
"""Connections kept for reading; the store never reads more pages than this at once."""

PROGRESS_STEPS: Final = 20_000
"""Steps of SQLite's machine between two looks at a query's limit: about a millisecond."""

WAL_BYTES: Final = 16 * 1024 * 1024
"""What a write-ahead log is cut to as it begins anew: after a write that no reader is behind."""

USE_WAL: Final = "PRAGMA journal_mode=WAL"
"""Switches the file to a write-ahead log, which it then keeps."""


def connect(path: Path | None, seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Connect, in autocommit mode; ``None`` is a database in memory.

    ``seconds`` is how long a statement waits for a lock. Raises ForkedError where the parent of
    this forked child had the file open.
    """
    check_usable()
    if path is not None:
        check_inherited(path)
    connection = sqlite3.connect(
        ":memory:" if path is None else str(path),
        timeout=seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        configure(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def configure(connection: sqlite3.Connection) -> None:
    """Set what every connection to a log or a projection's file has in common."""
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # A write-ahead log that grew behind a reader shrinks once the reader has gone.
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    # What is erased, or moved to another page, leaves zeros behind.
    connection.execute("PRAGMA secure_delete=ON")


class SqliteConnection:
    """A connection, with SQLAlchemy's upon it for projections."""

    def __init__(self, raw: sqlite3.Connection, tables: Connection | None = None) -> None:
        self.raw = raw
        self._tables = tables
        self._borrowed = tables is not None

    @classmethod
    def beneath(cls, tables: Connection) -> SqliteConnection:
        """Return the connection beneath one of SQLAlchemy's."""
        raw: Any = tables.connection.driver_connection
        return cls(raw, tables)

    @property
    def tables(self) -> Connection:
        """SQLAlchemy's connection, in the same transaction."""
        if self._tables is None:
            from eventstore.storage.sqlite._connection_upon import (  # noqa: PLC0415 - SQLAlchemy
                connect_upon,
            )

            self._tables = connect_upon(self.raw)
        return self._tables

    @property
    def dropped(self) -> bool:
        """Whether SQLAlchemy has closed it: it does at any other than an ordinary exception."""
        return self._tables is not None and self._tables.invalidated

    def end(self) -> None:
        """End the transaction that SQLAlchemy began for a projection's statements."""
        if self._tables is not None and self._tables.in_transaction():
            self._tables.commit()

    def rollback(self) -> None:
        """Leave nothing of the open transaction, if there is one."""
        if self._tables is not None:
            self._tables.rollback()
        if not self.dropped and self.raw.in_transaction:
            self.raw.execute("ROLLBACK")

    def close(self) -> None:
        """Close it, or give it back to the engine that it is from."""
        if self._tables is not None:
            self._tables.close()
        if not self._borrowed:
            self.raw.close()


class ConnectionPool:
    """Connections to one file for reading, kept open; any thread may take one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: deque[SqliteConnection] = deque()
        self._closed = False

    @contextmanager
    def connection(self) -> Iterator[SqliteConnection]:
        """Give a connection without a transaction; one that is left open is rolled back."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = SqliteConnection(connect(self._path))
        try:
            yield connection
        finally:
            connection.rollback()
            self._give_back(connection)

    def _give_back(self, connection: SqliteConnection) -> None:
        self._idle.append(connection)
        if self._closed or len(self._idle) > READ_CONNECTIONS:
            self._close_one()

    def _close_one(self) -> None:
        with suppress(IndexError):  # Another thread has taken it.
            self._idle.pop().close()

    def close(self) -> None:
        """Close the connections that are idle, and the others when they are given back."""
        self._closed = True
        while self._idle:
            self._close_one()

    def keep(self) -> None:
        """Never close the idle connections; see :func:`keep_for_ever`."""
        while self._idle:
            keep_for_ever(self._idle.pop())


@contextmanager
def only_reading(connection: sqlite3.Connection) -> Iterator[None]:
    """Refuse what statements of the block would write, in temporary tables too."""
    connection.execute("PRAGMA query_only=ON")
    try:
        yield
    finally:
        connection.execute("PRAGMA query_only=OFF")


@contextmanager
def interrupting(connection: Any, is_over: Callable[[], bool]) -> Iterator[None]:
    """End the statements of the block, also one that runs, once ``is_over()``."""
    connection.set_progress_handler(is_over, PROGRESS_STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def describe_file(path: Path | None) -> dict[str, str | int]:
    """Return the kind, SQLite's version, and the sizes of a log's file and its write-ahead log.

    A large write-ahead log is told with what keeps it so. ``path`` is ``None`` for memory.
    """
    facts: dict[str, str | int] = {
        "backend": "sqlite" if path else "memory",
        "sqlite": sqlite3.sqlite_version,
    }
    if path is None:
        return facts
    wal = path.with_name(path.name + "-wal")
    size = wal.stat().st_size if wal.exists() else 0
    facts |= {"file": str(path), "bytes": path.stat().st_size, "wal_bytes": size}
    if size > 2 * WAL_BYTES:
        facts["wal_kept"] = (
            "a reader that reads for long, or was stopped, keeps the write-ahead log from being "
            "emptied; after it has ended, the next writes cut it"
        )
    return facts
