"""Telling a database that fails from a statement that is wrong."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from eventstore.storage.sqlalchemy_errors import sqlalchemy_errors

_SQLITE: Final = {
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOTADB,
}  # fmt: skip
"""SQLite's codes for a file that is locked, full, or cannot be read or written."""

_TOO_LARGE: Final = "54"
"""PostgreSQL's class for what a retry cannot cure, such as a key too long for its index."""


def is_database_failure(error: BaseException) -> bool:
    """Return whether the database failed, rather than the statement being wrong.

    A lost connection, a lock that was not granted in time, a full disk: the same statement may
    succeed when it is retried.
    """
    if not isinstance(error, sqlalchemy_errors()):
        return False
    from sqlalchemy.exc import DBAPIError, OperationalError  # noqa: PLC0415 - it was imported

    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    cause: Any = error.orig
    if hasattr(cause, "sqlite_errorcode"):
        return cause.sqlite_errorcode & 0xFF in _SQLITE
    if not isinstance(error, OperationalError) or not hasattr(cause, "sqlstate"):
        return False
    return not (cause.sqlstate or "").startswith(_TOO_LARGE)
