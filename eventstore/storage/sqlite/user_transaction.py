"""A caller's own transactions in the log's SQLite file.

See :mod:`eventstore.storage.user_transaction`.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from eventstore.errors import StorageError
from eventstore.storage._stream_cache import StreamCache
from eventstore.storage.sqlite._driver import SqliteDriver
from eventstore.storage.sqlite.forked_files import hold_connection, release_connection
from eventstore.storage.sqlite.write_turn import WriteTurn
from eventstore.storage.user_transaction import DriverTransaction
from eventstore.system import fork_hooks
from eventstore.system.owners import keep_for_ever

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventstore.log.events import Appended
    from eventstore.log.operations import Append, CommitBatch
    from eventstore.storage.driver import Driver
    from eventstore.storage.sqlite.connection import SqliteConnection
    from eventstore.storage.sqlite.file_identity import LogFiles
    from eventstore.storage.user_transaction import AppendIn, Translate

_writing: set[tuple[int, str]] = set()
"""Threads that hold the turn to write a file: waiting for it again would be a deadlock."""

fork_hooks.run_in_child(_writing.clear)


def refuse_nested(path: Path) -> tuple[int, str]:
    """Raise StorageError where this thread holds the turn to write a file; return its mark."""
    mark = threading.get_ident(), str(path)
    if mark in _writing:
        reason = "this thread already writes through another connection: finish that one first"
        raise StorageError(str(path), reason)
    return mark


class SqliteUserTransaction(DriverTransaction):
    """See :class:`eventstore.storage.user_transaction.UserTransaction`.

    SQLite has one writer. Beginning takes the turn that every writer of the file takes, then
    SQLite's lock. The log takes both in the same order, so there is no deadlock.
    """

    def __init__(
        self,
        connection: SqliteConnection,
        path: Path,
        write_wait: float,
        translate: Translate,
        files: LogFiles | None,
        append: AppendIn,
    ) -> None:
        super().__init__(connection.raw, translate, append)
        self._connection = connection
        self._path = path
        self._write_wait = write_wait
        self._files = files
        self._turn: WriteTurn | None = None
        self._held = ExitStack()
        self._cache = StreamCache()
        hold_connection(self)

    @contextmanager
    def reading(self) -> Iterator[Driver]:
        """Give what reads the log on this connection, within a transaction."""
        with self.translated():
            yield SqliteDriver(self._connection)

    @property
    def active(self) -> bool:
        """Whether a transaction was begun here, and SQLite has not ended it."""
        return bool(self.raw.in_transaction)

    def check(self) -> None:
        """Raise FileChangedError once other files, or none, are at the path."""
        if self._files is not None:
            self._files.check()

    def begin(self) -> None:
        """Wait for the turn to write, then begin with SQLite's write lock."""
        self._end()
        mark = refuse_nested(self._path)
        with self.translated(), ExitStack() as undo:
            if self._turn is None:
                self._turn = WriteTurn(self._path, self._write_wait)
            undo.enter_context(self._turn.hold())
            _writing.add(mark)
            undo.callback(_writing.discard, mark)
            self.check()
            self.raw.execute("BEGIN IMMEDIATE")
            self._held = undo.pop_all()

    def append(self, append: Append) -> tuple[Appended, CommitBatch | None]:
        """Append within the transaction."""
        with self.reading() as driver:
            return self._append(driver, append, self._cache)

    def commit(self) -> None:
        """Commit; roll back where that fails, a deferred foreign key for one."""
        try:
            self.raw.execute("COMMIT")
            self._connection.end()
            if self._files is not None:
                self._files.check_written()
        finally:
            self.rollback()

    def rollback(self) -> None:
        """Leave nothing of the transaction, and let the next writer go."""
        try:
            self._connection.rollback()
        finally:
            self._end()

    def _end(self) -> None:
        held, self._held = self._held, ExitStack()
        held.close()

    def close(self) -> None:
        """Roll back, and release the connection and its place among the writers."""
        try:
            self.rollback()
        except sqlite3.Error as error:
            raise StorageError(str(self._path), str(error)) from error
        finally:
            if self._files is not None and self._files.closing_harms:
                keep_for_ever(self._connection)
            else:
                self._connection.close()
            release_connection(self)
            if self._turn is not None:
                self._turn.close()
                self._turn = None
