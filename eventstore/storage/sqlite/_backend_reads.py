"""How a log on SQLite is read: in a snapshot of the file, or of the one connection in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from eventstore.storage.movable import MovableSqlBackend
from eventstore.storage.sqlite._driver import SqliteDriver
from eventstore.storage.sqlite.connection import interrupting, only_reading
from eventstore.storage.sqlite.errors import translate_errors
from eventstore.storage.sqlite.read_only import read_unlocked

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from eventstore.storage.driver import Driver, ViewRows
    from eventstore.storage.driver import Query as Statement
    from eventstore.storage.query_limit import QueryLimit
    from eventstore.storage.sqlite._brief_reads import BriefReads
    from eventstore.storage.sqlite._user_connections import UserConnections
    from eventstore.storage.sqlite.connection import ConnectionPool
    from eventstore.storage.sqlite.file_identity import LogFiles

T = TypeVar("T")


class SqliteReads(MovableSqlBackend, ABC):
    """The part of :class:`~eventstore.storage.sqlite.backend.SqliteBackend` that only reads."""

    _readers: ConnectionPool
    _users: UserConnections
    _brief: BriefReads | None
    _files: LogFiles | None
    _memory_lock: threading.RLock
    _read_only: bool

    @abstractmethod
    def _writing_driver(self) -> SqliteDriver:
        """Return the connection that writes, which is the only one in memory."""

    @property
    def _where(self) -> str:
        return str(self.path) if self.path else self.url

    def _check_files(self) -> None:
        """Raise FileChangedError once the log's files are not those at its path.

        SQLite would go on with the old ones: appends to them would be lost silently, and a
        subscription would never see another event.
        """
        if self._files is not None:
            self._files.check()

    def _read(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a snapshot."""
        if not self._read_only or self.path is None:
            return super()._read(function)
        with translate_errors(self._where):
            self._check_files()
            return read_unlocked(self.path, function)

    def _query(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        """Call ``function`` in a snapshot, on a connection for queries."""

        def limited(driver: Driver) -> T:
            with only_reading(driver.raw), interrupting(driver.raw, limit.is_over):
                return function(driver)

        if self.path is None:
            if not self._memory_lock.acquire(timeout=limit.left):
                raise limit.timeout()
            try:
                return self._read(limited)
            finally:
                self._memory_lock.release()
        if self._read_only:
            return self._read(limited)
        with self._snapshot(queries=True) as driver:
            return limited(driver)

    def _look(self, function: Callable[[Driver], T], limit: QueryLimit) -> T:
        """Call ``function``, which changes no setting of the connection, in a snapshot."""
        if self.path is None or self._read_only:
            return self._query(function, limit)
        with self._snapshot() as driver, interrupting(driver.raw, limit.is_over):
            return function(driver)

    def look_briefly(self, view: str, queries: Sequence[Statement]) -> ViewRows | None:
        """Return what :meth:`look` returns where that is there at once; ``None`` where not."""
        brief = None if self._read_only else self._brief
        return None if brief is None else brief.look(view, queries)

    @contextmanager
    def _snapshot(self, *, queries: bool = False) -> Iterator[Driver]:
        with translate_errors(self._where):
            if self.path is None:
                with self._memory_lock:
                    yield self._writing_driver()
                return
            self._check_files()
            take = self._users.query_connection if queries else self._readers.connection
            with take() as connection:
                driver = SqliteDriver(connection)
                driver.run("BEGIN")
                try:
                    yield driver
                    if self._files is not None:
                        self._files.attach()
                finally:
                    driver.run("ROLLBACK")
