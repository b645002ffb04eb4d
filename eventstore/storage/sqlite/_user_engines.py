"""Connections for users' queries and transactions, through SQLAlchemy: made at their first use."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.limits import QUERY_THREADS
from eventstore.storage.sqlite.connection import SqliteConnection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


class UserEngines:
    """The engines of one file: one keeps connections for queries, one connects anew each time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: dict[bool, Engine] = {}
        self._making = threading.Lock()

    def _engine(self, *, pooled: bool) -> Engine:
        from eventstore.storage.sqlite.engine import make_engine  # noqa: PLC0415 - SQLAlchemy

        with self._making:
            if pooled not in self._made:
                self._made[pooled] = make_engine(
                    self._path, pooled=pooled, wal=not pooled, size=QUERY_THREADS
                )
            return self._made[pooled]

    @contextmanager
    def query_connection(self) -> Iterator[SqliteConnection]:
        """Give a connection for one query."""
        with self._engine(pooled=True).connect() as connection:
            yield SqliteConnection.beneath(connection)

    def connect(self) -> SqliteConnection:
        """Return a connection of a user's own."""
        return SqliteConnection.beneath(self._engine(pooled=False).connect())

    def close(self) -> None:
        """Close the connections that are idle."""
        for engine in self._made.values():
            engine.dispose()

    def keep(self) -> None:
        """Never close the idle connections; see :func:`keep_for_ever`."""
        if engine := self._made.get(True):
            from eventstore.storage.sqlite.engine import keep_connections  # noqa: PLC0415

            keep_connections(engine)
