"""The pool of SQLite connections: callers get them one after another."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from projections.sql.sqlite._authorizer import Mode, StatementAuthorizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.storage.user_transaction import UserTransaction

MAX_IDLE: Final = 8
"""Connections that stay open while no caller uses them."""


KNOWN_READS: Final = 128
"""Statements of which it is remembered that they read: as many as the driver keeps compiled."""


class PooledConnection:
    """A connection with its authorizer and its known statements."""

    def __init__(self, transaction: UserTransaction) -> None:
        self.transaction = transaction
        self.authorizer = StatementAuthorizer()
        self.authorizer.mode = Mode.READ
        self.known_writes: set[str] = set()
        """Statements that need a transaction; the driver keeps them compiled."""
        self.known_reads: dict[str, str] = {}
        """Statements that need none, with the texts that they run as."""
        self.customised = False
        """True once a caller has given it settings or functions."""
        transaction.raw.row_factory = sqlite3.Row
        transaction.raw.set_authorizer(self.authorizer)

    def know_read(self, sql: str, text: str) -> None:
        """Note a statement that only reads; of many, the first are forgotten."""
        if len(self.known_reads) >= KNOWN_READS:
            self.known_reads.clear()
        self.known_reads[sql] = text

    @property
    def is_reusable(self) -> bool:
        """True if the next caller cannot tell it from a new connection."""
        return not (self.customised or self.authorizer.customised)

    def close(self) -> None:
        """Close the connection."""
        self.authorizer.mode = Mode.OWN
        self.transaction.close()


class ConnectionPool:
    """Keeps up to :data:`MAX_IDLE` connections open. Used from any thread."""

    def __init__(self, open_transaction: Callable[[], UserTransaction]) -> None:
        self._open_transaction = open_transaction
        self._lock = threading.Lock()
        self._idle: list[PooledConnection] = []
        self._closed = False

    def take(self) -> PooledConnection:
        """Return an idle connection, or a new one.

        Raises StorageError if the database was replaced by another one.
        """
        with self._lock:
            pooled = self._idle.pop() if self._idle else None
        if pooled is None:
            return PooledConnection(self._open_transaction())
        try:
            pooled.transaction.check()
        except BaseException:
            pooled.transaction.close()
            raise
        return pooled

    def give_back(self, pooled: PooledConnection) -> None:
        """Keep a connection for the next caller, or close it."""
        with self._lock:
            if pooled.is_reusable and len(self._idle) < MAX_IDLE and not self._closed:
                self._idle.append(pooled)
                return
        pooled.close()

    def close(self) -> None:
        """Close the idle connections; the others are closed when they are given back."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for pooled in idle:
            pooled.close()
