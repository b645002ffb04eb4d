"""What errors of SQLite mean."""

from __future__ import annotations

import sqlite3
from typing import Final

from eventstore.errors import StorageError
from eventstore.storage.sqlalchemy_errors import sqlalchemy_errors
from eventstore.storage.sqlite.forked_files import begin_use, end_use


def driver_errors() -> tuple[type[BaseException], ...]:
    """Return what a statement raises, sent to the driver or through SQLAlchemy."""
    return (sqlite3.Error, *sqlalchemy_errors())


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
        if isinstance(error, sqlalchemy_errors()):
            cause = getattr(error, "orig", None) or error  # The driver's error beneath it.
            raise StorageError(self._where, _explain(str(cause))) from error
        if isinstance(error, _FAILURES):
            # Of a damaged schema SQLite complains by quoting it, in bytes that may be no text.
            raise StorageError(self._where, _explain(str(error))) from error


_FAILURES: Final = (sqlite3.Error, OSError, LookupError, UnicodeDecodeError)


def _explain(reason: str) -> str:
    if "unable to open database file" in reason or "No such file or directory" in reason:
        return f"{reason}: does its directory exist, and may this user write there?"
    if "not a database" in reason or "no such column" in reason:
        return f"{reason}: it is no event log; name another file"
    return reason
