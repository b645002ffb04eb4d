"""Telling a database that fails from a statement that is wrong."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError


def is_trouble(error: BaseException) -> bool:
    """Return whether the server failed, and whoever sent the statement has no part in it.

    A lost connection, a lock not given in time, a full disk: the same statement may work
    again. PostgreSQL tells these apart by their class; SQLite, a file, has no such word.
    """
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or (
        isinstance(error, OperationalError) and hasattr(error.orig, "sqlstate")
    )
