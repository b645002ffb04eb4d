"""Connections of users' own: for queries through SQLAlchemy, which is loaded at the first."""

from __future__ import annotations

import math
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.limits import QUERY_THREADS
from eventstore.storage.sqlite.connection import USE_WAL, SqliteConnection, connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


class UserConnections:
    """The connections of one file: those for queries are kept, others are made each time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: Engine | None = None
        self._making = threading.Lock()

    def _engine(self) -> Engine:
        from eventstore.storage.sqlite.engine import make_engine  # noqa: PLC0415 - SQLAlchemy

        with self._making:
            if self._made is None:
                self._made = make_engine(self._path, wal=False, size=QUERY_THREADS)
            return self._made

    @contextmanager
    def query_connection(self) -> Iterator[SqliteConnection]:
        """Give a connection for one query."""
        with self._engine().connect() as connection:
            yield SqliteConnection.beneath(connection)

    def connect(self) -> SqliteConnection:
        """Return a connection of a user's own, with the functions that SQLAlchemy adds to SQLite.

        SQLAlchemy itself is loaded only where a projection's statements run on it.
        """
        raw = connect(self._path)
        try:
            raw.execute(USE_WAL)
            raw.create_function("regexp", 2, _regexp, deterministic=True)
            raw.create_function("floor", 1, math.floor, deterministic=True)
        except BaseException:
            raw.close()
            raise
        return SqliteConnection(raw)

    def close(self) -> None:
        """Close the connections that are idle."""
        if self._made is not None:
            self._made.dispose()

    def keep(self) -> None:
        """Never close the idle connections; see :func:`keep_for_ever`."""
        if self._made is not None:
            from eventstore.storage.sqlite.engine import keep_connections  # noqa: PLC0415

            keep_connections(self._made)


def _regexp(pattern: str, value: str | None) -> bool | None:
    return None if value is None else re.search(pattern, value) is not None
