"""A connection for callers on SQLite.

Reads see the latest commit. The first statement that writes waits for the file's write lock and
begins a transaction; ``commit`` records it.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

from projections.sql.connection import Publisher, SqlConnection
from projections.sql.model import SqlRefusedError
from projections.sql.sqlite._authorizer import SCHEMA_CHANGE, Mode
from projections.sql.sqlite._cursor import SqliteCursor
from projections.sql.sqlite._definitions import changes_nothing
from projections.sql.sqlite._schema import list_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql._cursor import Parameters
    from projections.sql.sqlite._connection_pool import ConnectionPool

_OF_CALLERS: Final = "\t \t"
"""Callers' statements begin so, and none of the storage's own.

The driver keeps statements compiled, by their texts: what was compiled for the storage, a COMMIT
for one, would run for a caller without being authorized.
"""

_MANY_READERS: Final = 1_000
"""Cursors after which those that are gone are forgotten, or twice as many as were left then."""

_execute: Final = sqlite3.Cursor.execute

_VIRTUAL_TABLE_FAILED: Final = "vtable constructor failed"


class ChangeRecorder(Publisher, Protocol):
    """Appends the changes of a connection's transactions to the log."""

    def writable(self, transaction: UserTransaction) -> frozenset[str]:
        """Return what a caller may write in the open transaction; see StatementAuthorizer."""

    def record(self, transaction: UserTransaction) -> Any:
        """Append what the transaction did."""


class SqliteConnection(SqlConnection):
    """See :class:`SqlConnection`.

    Refused are changes of the schema, ``ATTACH``, and writes to tables that are not captured.
    """

    def __init__(self, pool: ConnectionPool, recorder: ChangeRecorder) -> None:
        pooled = pool.take()
        super().__init__(pooled.transaction, recorder)
        self._pool = pool
        self._pooled = pooled
        self.authorizer = pooled.authorizer
        self._known_writes = pooled.known_writes
        self.known_reads = pooled.known_reads
        """Statements that only read, with the texts that they run as; none once nothing may run."""
        self._raw: sqlite3.Connection = pooled.transaction.raw
        self._recorder = recorder
        self._readers: list[ref[SqliteCursor]] = []
        """Cursors that may have rows left, of which some may be gone."""
        self._many_readers = _MANY_READERS

    @property
    def in_transaction(self) -> bool:
        """True between the start of a transaction and its commit or rollback."""
        return self.authorizer.mode is Mode.WRITE and self._transaction.active

    @property
    def total_changes(self) -> int:
        """How many rows were changed since the connection was opened, the storage's included."""
        return self._raw.total_changes

    @property
    def row_factory(self) -> Any:
        """What makes rows; :class:`sqlite3.Row` unless it is set."""
        return self._raw.row_factory

    @row_factory.setter
    def row_factory(self, factory: Any) -> None:
        self._pooled.customised = True
        self._raw.row_factory = factory

    def cursor(self) -> SqliteCursor:
        """Return a cursor."""
        self.check_usable()
        return self._make_cursor()

    def _make_cursor(self) -> SqliteCursor:
        cursor = self._raw.cursor(SqliteCursor)
        cursor.connection = self
        return cursor

    def create_function(self, name: str, narg: int, func: Any, **options: Any) -> None:
        """Register an SQL function on this connection."""
        self._pooled.customised = True
        self._raw.create_function(name, narg, func, **options)

    def create_collation(self, name: str, callable_: Any, /) -> None:
        """Register a collation on this connection."""
        self._pooled.customised = True
        self._raw.create_collation(name, callable_)

    def _ending(self) -> AbstractContextManager[None]:
        self._finish_reading()
        return self._own_statements()

    def _record(self) -> Any:
        return self._recorder.record(self._transaction)

    def _roll_back(self) -> None:
        self._finish_reading()
        with self._own_statements():
            self._transaction.rollback()

    def after_fork(self) -> None:
        """Stay open in the child, and read nothing there."""
        self.known_reads = {}
        for cursor in self._take_readers():
            cursor.after_fork()
        super().after_fork()

    def _release(self) -> None:
        self.known_reads = {}
        for cursor in self._take_readers():
            cursor.close()
        if self._transaction.active:
            self._roll_back()
        self._pool.give_back(self._pooled)

    @contextmanager
    def _own_statements(self, then: Mode = Mode.READ) -> Iterator[None]:
        """Run statements of the storage's own, then set the mode: READ after an error."""
        self.authorizer.mode = Mode.OWN
        mode = Mode.READ
        try:
            yield
            mode = then
        finally:
            self.authorizer.mode = mode

    def _begin(self) -> None:
        # An unfinished read would keep the transaction at the commit that the read has seen.
        self._finish_reading()
        with self._own_statements(then=Mode.WRITE):
            try:
                self._transaction.begin()
                self.authorizer.writable = self._recorder.writable(self._transaction)
            except BaseException:
                self._transaction.rollback()
                raise

    def _finish_reading(self) -> None:
        for cursor in self._take_readers():
            cursor.buffer()

    def _take_readers(self) -> list[SqliteCursor]:
        readers, self._readers = self._readers, []
        return [cursor for one in readers if (cursor := one()) is not None]

    def add_reader(self, cursor: SqliteCursor) -> None:
        """Remember a cursor that may have rows left."""
        self._readers.append(ref(cursor))
        if len(self._readers) >= self._many_readers:
            self._forget_readers()

    def _forget_readers(self) -> None:
        """Forget the cursors that are gone."""
        alive = (one for one in self._readers if one() is not None)
        self._readers = list(dict.fromkeys(alive))
        self._many_readers = max(_MANY_READERS, 2 * len(self._readers))

    def execute(self, sql: str, parameters: Parameters = (), /) -> SqliteCursor:
        """Execute one statement on a new cursor, and return that."""
        cursor = self._raw.cursor(SqliteCursor)
        cursor.connection = self
        if sql not in self.known_reads:
            return cursor.execute(sql, parameters)
        # What a cursor's own execute() does, without a call: a fifth of what is added to a read.
        try:
            _execute(cursor, self.known_reads[sql], parameters)
        except sqlite3.DatabaseError as error:
            return cursor.go_on(error, sql, parameters)
        self._readers.append(ref(cursor))
        if len(self._readers) >= self._many_readers:
            self._forget_readers()
        return cursor

    def run(self, call: Callable[..., Any], sql: str, *arguments: Any) -> bool:
        """Run a caller's statement, in a transaction if it writes; return True if it does."""
        self.check_usable()
        authorizer = self.authorizer
        if authorizer.mode is Mode.READ and sql in self._known_writes:
            self._begin()
        text = _OF_CALLERS + sql
        try:
            call(text, *arguments)
            if authorizer.mode is Mode.READ:
                self._pooled.know_read(sql, text)
        except sqlite3.DatabaseError as error:
            self._try_again(error, call, sql, arguments)
        finally:
            self._note(sql)
        return authorizer.mode is Mode.WRITE and sql in self._known_writes

    def run_after(
        self, error: sqlite3.DatabaseError, call: Callable[..., Any], sql: str, *arguments: Any
    ) -> bool:
        """Deal with a statement that failed without :meth:`run`, as that would have done."""
        try:
            self._try_again(error, call, sql, arguments)
        finally:
            self._note(sql)
        return self.authorizer.mode is Mode.WRITE and sql in self._known_writes

    def _note(self, sql: str) -> None:
        """Note whether a statement writes, and end the transaction that it has rolled back."""
        if self.authorizer.writes:
            self._known_writes.add(sql)
        if self.authorizer.mode is Mode.WRITE and not self._transaction.active:
            # The failed statement has rolled back the whole transaction (OR ROLLBACK).
            self._roll_back()
        if self.authorizer.noted:
            self.authorizer.reset()

    def _try_again(
        self,
        error: sqlite3.DatabaseError,
        call: Callable[..., Any],
        sql: str,
        arguments: tuple[Any, ...],
    ) -> None:
        # Up to three times: SQLite may have to load virtual tables, then a transaction has to
        # begin, and what only a transaction allows may name further virtual tables.
        for _ in range(3):
            if not self._handle(error, sql):
                return
            self.authorizer.reset()
            try:
                call(_OF_CALLERS + sql, *arguments)
            except sqlite3.DatabaseError as another:
                error = another
            else:
                return
        raise error

    def _handle(self, error: sqlite3.DatabaseError, sql: str) -> bool:
        """Deal with a statement that was not compiled; return True if it has to run again.

        Raises SqlRefusedError, or the error itself where the statement is wrong.
        """
        authorizer = self.authorizer
        if _VIRTUAL_TABLE_FAILED in str(error) and authorizer.refusal:
            # At its first use a virtual table declares its columns by a CREATE TABLE.
            with self._own_statements(then=authorizer.mode):
                list_objects(self._raw)
            return True
        if authorizer.transaction:
            self._control_transaction(authorizer.transaction, sql)
            return False
        if authorizer.refusal == SCHEMA_CHANGE and self._changes_nothing(sql):
            return False
        if authorizer.refusal:
            raise SqlRefusedError(sql, authorizer.refusal) from error
        if authorizer.writes and authorizer.mode is Mode.READ:
            self._begin()
            return True
        raise error

    def _changes_nothing(self, sql: str) -> bool:
        """Return True for a definition IF NOT EXISTS of what exists: then it is passed over."""
        with self._own_statements(then=self.authorizer.mode):
            return changes_nothing(self._raw, sql)

    def _control_transaction(self, word: str, sql: str) -> None:
        if word == "COMMIT":
            if not self.in_transaction:
                raise sqlite3.OperationalError("cannot commit - no transaction is active")
            self.commit()
        elif word == "ROLLBACK":
            if not self.in_transaction:
                raise sqlite3.OperationalError("cannot rollback - no transaction is active")
            self.rollback()
        elif self.in_transaction:
            raise sqlite3.OperationalError("cannot start a transaction within a transaction")
        elif word == "BEGIN":
            self._begin()
        else:
            raise SqlRefusedError(sql, f"{word} is not known here")
