"""Reads that are over at once, in the thread that asks: an event loop's.

To hand a question to a thread and to take the answer takes an event loop several times as long as
SQLite needs to find a row. So what is known to be short is first asked here. Nothing here waits:
not for a lock, which readers of a write-ahead log rarely need, and not for a statement that turns
out to be long. Such a read is given up, and asked again in a thread.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from eventstore.storage.beside_head import HEAD, ask_view, read_beside, rows_of
from eventstore.storage.sqlite._driver import SqliteDriver
from eventstore.storage.sqlite.connection import SqliteConnection, connect
from eventstore.system.owners import keep_for_ever

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eventstore.storage.driver import Query, ViewRows
    from eventstore.storage.sqlite.file_identity import LogFiles

_HEAD: Final = f"SELECT {HEAD}, NULL AS place FROM head"  # noqa: S608 - our own names

BRIEF_STEPS: Final = 10_000
"""Steps of SQLite's machine between two calls of its handler; the first comes sooner.

SQLite counts them for as long as a statement is kept, over all its runs.
"""

BRIEF_CALLS: Final = 4
"""Calls of the handler at which a read is given up: after one or two milliseconds."""


class BriefReads:
    """One connection for reads that wait for nothing; made at the first one.

    ``files`` gives the files of the log, which are compared at each read.
    """

    def __init__(self, path: Path, files: Callable[[], LogFiles | None]) -> None:
        self._path = path
        self._files = files
        self._driver: SqliteDriver | None = None
        self._closed = False
        self._calls = 0
        self._lock = threading.Lock()

    def look(self, view: str, queries: Sequence[Query]) -> ViewRows | None:
        """Return the rows of queries, with head and checkpoint; ``None`` where that takes longer.

        It is also ``None`` where the database fails: a read in a thread says why. Raises
        FileChangedError.
        """
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return None if self._closed else self._look(view, queries)
        except sqlite3.Error:
            # A statement that has failed counts as in use: it would be compiled at each call.
            self._disconnect()
            return None
        except (OSError, LookupError):
            return None
        finally:
            self._lock.release()

    def _look(self, view: str, queries: Sequence[Query]) -> ViewRows:
        files = self._files()
        if files is not None:
            files.check()
        driver = self._driver or self._connect()
        self._calls = 0
        first, *others = ask_view(_HEAD, view, queries)
        if others:
            driver.run("BEGIN")
        try:
            beside = read_beside(driver.rows(*first))
            found = [driver.rows(*query) for query in others]
        finally:
            if others:
                driver.run("ROLLBACK")
        if files is not None:
            files.attach()
        return rows_of(beside, queries, found)

    def _connect(self) -> SqliteDriver:
        connection = connect(self._path, 0)
        connection.execute("PRAGMA query_only=ON")
        connection.set_progress_handler(self._is_long, BRIEF_STEPS)
        self._driver = SqliteDriver(SqliteConnection(connection))
        return self._driver

    def _is_long(self) -> bool:
        self._calls += 1
        return self._calls >= BRIEF_CALLS

    def _disconnect(self) -> None:
        if self._driver is not None:
            self._driver.session.close()
            self._driver = None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._closed = True
            self._disconnect()

    def keep(self) -> None:
        """Never close the connection; see :func:`keep_for_ever`."""
        with self._lock:
            self._closed = True
            if self._driver is not None:
                keep_for_ever(self._driver)
                self._driver = None
