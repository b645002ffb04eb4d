"""A connection for callers: SQLite's API as the module ``sqlite3`` has it, recorded.

Reads see the latest commit. The first statement that writes waits for the turn to write and
begins a transaction; ``commit`` records it.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakSet

from projections.sql.model import SqlRefusedError
from projections.sql.sqlite.guard import Mode
from projections.sql.sqlite.schema import list_tables
from projections.sql.sqlite.scripts import split_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from projections.sql.sqlite.connection_pool import Recorder, Seat

_VIRTUAL: Final = "vtable constructor failed"

Parameters: TypeAlias = "Sequence[Any] | Mapping[str, Any]"


class SqliteConnection:
    """What :meth:`SqlStorage.connection` gives on SQLite. Used by one thread at a time.

    Errors of statements are sqlite3's own. :class:`SqlRefusedError` is raised for what would
    escape the log: changes of the schema, ``ATTACH``, writes to tables that are not captured.
    """

    def __init__(self, seat: Seat, recorder: Recorder) -> None:
        self._seat = seat
        self._guest, self._guard = seat.guest, seat.guard
        self._known_writes = seat.known_writes
        self._raw: sqlite3.Connection = seat.guest.raw
        self._recorder = recorder
        self._reading: WeakSet[Cursor] = WeakSet()
        self._closed = False

    @property
    def in_transaction(self) -> bool:
        """Whether something was begun that is neither committed nor rolled back."""
        return self._guard.mode is Mode.WRITE and self._guest.active

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
        self._seat.personal = True
        self._raw.row_factory = factory

    def cursor(self) -> Cursor:
        """Return a cursor."""
        self._check_open()
        return Cursor(self, self._raw.cursor())

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Execute one statement on a new cursor, and return that."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Execute one statement once for each set of parameters."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str, /) -> Cursor:
        """Execute several statements; unlike sqlite3 within the transaction, not after it."""
        return self.cursor().executescript(script)

    def create_function(self, name: str, narg: int, func: Any, **options: Any) -> None:
        """Give SQL a function, for this connection."""
        self._seat.personal = True
        self._raw.create_function(name, narg, func, **options)

    def create_collation(self, name: str, callable_: Any, /) -> None:
        """Give SQL a collation, for this connection."""
        self._seat.personal = True
        self._raw.create_collation(name, callable_)

    def commit(self) -> None:
        """Record the transaction and commit it, or roll it back and raise; go on with another.

        Does nothing where nothing was written.
        """
        self._check_open()
        if not self.in_transaction:
            return
        self._finish_reading()
        with self._own():
            try:
                recorded = self._recorder.record(self._guest)
                self._guest.commit()
            except BaseException:
                self._guest.rollback()
                raise
        self._recorder.done(recorded)

    def rollback(self) -> None:
        """Leave nothing of the transaction; go on with another."""
        self._check_open()
        self._roll_back()

    def _roll_back(self) -> None:
        self._finish_reading()
        with self._own():
            self._guest.rollback()

    @contextmanager
    def _own(self, then: Mode = Mode.READ) -> Iterator[None]:
        """Run statements that are the storage's own; they go on to ``then``, or to reading."""
        self._guard.mode = Mode.OWN
        mode = Mode.READ
        try:
            yield
            mode = then
        finally:
            self._guard.mode = mode
            # Compiles anew what was compiled as our own: the driver keeps statements by their
            # text, and a caller's COMMIT would be run without being judged.
            self._raw.set_authorizer(self._guard)

    def finish(self) -> None:
        """Commit, unless the caller has closed it already."""
        if not self._closed:
            self.commit()

    def close(self) -> None:
        """Roll back and close. Calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        for cursor in list(self._reading):
            cursor.close()
        if self._guest.active:
            self._roll_back()
        self._recorder.leave(self._seat)

    def _check_open(self) -> None:
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    def _begin(self) -> None:
        # A read that is under way would hold the transaction to what was committed before it.
        self._finish_reading()
        with self._own(then=Mode.WRITE):
            try:
                self._guest.begin()
                self._recorder.begun(self._guest, self._guard)
            except BaseException:
                self._guest.rollback()
                raise

    def _finish_reading(self) -> None:
        for cursor in list(self._reading):
            cursor.buffer()
        self._reading.clear()

    def run(self, call: Callable[..., Any], sql: str, *arguments: Any) -> bool:
        """Run a statement of the caller's, in a transaction where it writes: return whether."""
        self._check_open()
        guard = self._guard
        if guard.mode is Mode.READ and sql in self._known_writes:
            self._begin()
        guard.reset()
        try:
            self._attempt(call, sql, arguments)
        finally:
            if guard.writes:
                self._known_writes.add(sql)
            if guard.mode is Mode.WRITE and not self._guest.active:
                # The statement's own failure has rolled everything back (OR ROLLBACK).
                self._roll_back()
        return sql in self._known_writes

    def _attempt(self, call: Callable[..., Any], sql: str, arguments: tuple[Any, ...]) -> None:
        # At most the virtual tables are loaded, a transaction begun, and virtual tables found in
        # what only a transaction may do.
        for _ in range(3):
            try:
                call(sql, *arguments)
            except sqlite3.DatabaseError as error:
                if not self._prepare_again(error, sql):
                    return
                self._guard.reset()
            else:
                return
        call(sql, *arguments)

    def _prepare_again(self, error: sqlite3.DatabaseError, sql: str) -> bool:
        """Make ready for a statement that was not compiled; return whether to try again.

        Raises what it means, where it is an error after all.
        """
        guard = self._guard
        if _VIRTUAL in str(error) and guard.refused:
            # A virtual table declares its columns by a CREATE TABLE when it is first used.
            with self._own(then=guard.mode):
                list_tables(self._raw)
            return True
        if guard.transaction:
            self._control(guard.transaction, sql)
            return False
        if guard.refused:
            raise SqlRefusedError(sql, guard.refused) from error
        if guard.writes and guard.mode is Mode.READ:
            self._begin()
            return True
        raise error

    def _control(self, word: str, sql: str) -> None:
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

    def reads(self, cursor: Cursor) -> None:
        """Remember a cursor that has rows left to give."""
        self._reading.add(cursor)


class Cursor:
    """A cursor, as sqlite3 has it."""

    arraysize = 1

    def __init__(self, connection: SqliteConnection, raw: sqlite3.Cursor) -> None:
        self.connection = connection
        self._raw = raw
        self._buffer: Iterator[Any] | None = None

    def execute(self, sql: str, parameters: Parameters = (), /) -> Cursor:
        """Execute one statement, which may give rows."""
        self._buffer = None
        writes = self.connection.run(self._raw.execute, sql, parameters)
        if writes:
            # RETURNING: what is not read to its end cannot be committed.
            self.buffer()
        elif self._raw.description is not None:
            self.connection.reads(self)
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Cursor:
        """Execute one statement once for each set of parameters."""
        self._buffer = None
        self.connection.run(self._raw.executemany, sql, parameters)
        return self

    def executescript(self, script: str, /) -> Cursor:
        """Execute several statements, without parameters, within the transaction."""
        for statement in split_script(script):
            self.execute(statement)
        self._buffer = None
        return self

    def buffer(self) -> None:
        """Read what is left now, because the transaction changes or ends."""
        if self._buffer is None:
            self._buffer = iter(self._raw.fetchall())

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Any:
        return next(self._raw if self._buffer is None else self._buffer)

    def fetchone(self) -> Any:
        """Return the next row, ``None`` where there is none."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` (default :attr:`arraysize`) rows."""
        count = self.arraysize if size is None else size
        return list(islice(self, count))

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self)

    @property
    def description(self) -> Any:
        """The columns of a query, as DB-API has them; ``None`` for other statements."""
        return self._raw.description

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed; -1 for a query."""
        return self._raw.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted last."""
        return self._raw.lastrowid

    def close(self) -> None:
        """Give no more rows."""
        self._raw.close()
        self._buffer = iter(())
