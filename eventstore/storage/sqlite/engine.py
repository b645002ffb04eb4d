"""How the log's SQLite file is connected to, and what its errors mean."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from eventstore.errors import StorageError
from eventstore.storage.sqlite.forked_files import (
    begin_use,
    check_inherited,
    check_usable,
    end_use,
)
from eventstore.system.owners import keep_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUSY_SECONDS: Final = 30.0
"""How long SQLite waits for a writer that does not take turns."""

READ_CONNECTIONS: Final = 8
"""Connections kept for reading; the store never reads more pages than this at once."""

PROGRESS_STEPS: Final = 20_000
"""Steps of SQLite's machine between two looks at a query's limit: about a millisecond."""

WAL_BYTES: Final = 16 * 1024 * 1024
"""What a write-ahead log is cut to as it begins anew: after a write that no reader is behind."""

_USE_WAL: Final = "PRAGMA journal_mode=WAL"


class translate_errors:  # noqa: N801 - a context, used like a function
    """Turn every error of SQLite and SQLAlchemy into StorageError, saying where.

    Each use of SQLite is within such a block, so that a fork waits for its end.
    """

    # No generator: each append, read and acknowledgement passes through here.

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        begin_use(self)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        end_use(self)
        if error is None:
            return
        if isinstance(error, DBAPIError):
            raise StorageError(self._where, _explain(str(error.orig))) from error
        if isinstance(error, _FAILURES):
            # Of a damaged schema SQLite complains by quoting it, in bytes that may be no text.
            raise StorageError(self._where, _explain(str(error))) from error


_FAILURES: Final = (SQLAlchemyError, sqlite3.Error, OSError, LookupError, UnicodeDecodeError)


def _explain(reason: str) -> str:
    if "unable to open database file" in reason or "No such file or directory" in reason:
        return f"{reason}: does its directory exist, and may this user write there?"
    if "not a database" in reason or "no such column" in reason:
        return f"{reason}: it is no event log; name another file"
    return reason


def make_engine(
    path: Path | None, *, pooled: bool = True, wal: bool = True, size: int = READ_CONNECTIONS + 1
) -> Engine:
    """Make an engine that leaves BEGIN and COMMIT to its users, and perhaps keeps connections.

    ``size`` is how many it keeps.
    With ``wal`` each connection switches the file to a write-ahead log, where it has none yet.
    Like PostgreSQL it refuses texts with NUL characters, so that projections are the same on both.
    """
    check_usable()
    engine = create_engine(
        URL.create("sqlite", database=str(path) if path else None),
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **_pooling(path, pooled=pooled, size=size),
    )

    @event.listens_for(engine, "do_connect")
    def check(*_: object) -> None:
        if path is not None:
            check_inherited(path)

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        if wal:
            connection.execute(_USE_WAL)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # A write-ahead log that grew behind a reader shrinks once the reader has gone.
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
        # What is erased, or moved to another page, leaves zeros behind.
        connection.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "before_cursor_execute")
    def refuse_nul(
        _connection: Any, _cursor: Any, _sql: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        # SQLAlchemy passes the rows of one multi-row statement as one flat sequence.
        rows = parameters if many and isinstance(parameters[0], tuple) else (parameters,)
        for row in rows:
            if any(isinstance(value, str) and "\0" in value for value in row):
                raise ValueError(
                    "a text has a NUL character, which no projection may hold: escape it"
                )

    return engine


@contextmanager
def interrupting(connection: Any, is_over: Callable[[], bool]) -> Iterator[None]:
    """End the statements of the block, also one that runs, once ``is_over()``."""
    connection.set_progress_handler(is_over, PROGRESS_STEPS)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def keep_connections(engine: Engine) -> None:
    """Never close the idle connections of an engine; see :func:`keep_for_ever`."""
    for _ in range(getattr(engine.pool, "checkedin", int)()):
        keep_for_ever(engine.connect())


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


def use_wal(connection: Connection) -> None:
    """Switch the file to a write-ahead log, which it then keeps."""
    connection.exec_driver_sql(_USE_WAL)


def _pooling(path: Path | None, *, pooled: bool, size: int) -> dict[str, Any]:
    if not pooled:
        return {"poolclass": NullPool}
    return {"pool_size": size, "max_overflow": -1} if path else {"poolclass": StaticPool}
