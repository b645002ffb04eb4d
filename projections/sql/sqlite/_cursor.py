"""A cursor on SQLite: the driver's own, which stays one until the transaction begins or ends."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Protocol

from projections.sql._cursor import SqlCursor
from projections.sql.sqlite._statements import split_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from projections.sql._cursor import Parameters


class StatementRunner(Protocol):
    """The connection that runs a cursor's statements."""

    known_reads: dict[str, str]
    """Statements that only read, with the texts that they run as; none once nothing may run."""

    def run(self, call: Callable[..., Any], sql: str, *arguments: Any) -> bool:
        """Run a statement by ``call(sql, *arguments)``; return True if it writes."""

    def run_after(
        self, error: sqlite3.DatabaseError, call: Callable[..., Any], sql: str, *arguments: Any
    ) -> bool:
        """Deal with a statement that failed without :meth:`run`, as that would have done."""

    def add_reader(self, cursor: SqliteCursor) -> None:
        """Remember a cursor that may have rows left."""

    def check_usable(self) -> None:
        """Raise ForkedError in a forked child, ProgrammingError where it is closed."""

    def check_process(self) -> None:
        """Raise ForkedError in a forked child."""


class SqliteCursor(sqlite3.Cursor, SqlCursor):
    """See :class:`SqlCursor`. Rows of a query are read as they are asked for, by the driver.

    A cursor whose rows are read already is a :class:`BufferedCursor`. In a forked child it is a
    :class:`ForkedCursor`: the driver's methods have nothing around them that could look.
    """

    __slots__ = ("_rows", "connection")

    connection: StatementRunner  # type: ignore[assignment]
    _rows: Iterator[Any]

    def execute(  # type: ignore[override]
        self, sql: str, parameters: Parameters = (), /
    ) -> Self:
        """Execute one statement, which may give rows."""
        connection = self.connection
        known = connection.known_reads.get(sql)
        if known is None:
            connection.check_usable()
            self._forget()
            return self._take(connection.run(super().execute, sql, parameters))
        self._forget()
        try:
            super().execute(known, parameters)
        except sqlite3.DatabaseError as error:
            return self.go_on(error, sql, parameters)
        connection.add_reader(self)
        return self

    def go_on(self, error: sqlite3.DatabaseError, sql: str, parameters: Parameters) -> Self:
        """Deal with the error of a statement that is known to read, as with another's."""
        return self._take(self.connection.run_after(error, super().execute, sql, parameters))

    def _take(self, writes: bool) -> Self:
        if writes:
            # RETURNING: SQLite commits no transaction while such a statement has rows left.
            self._become_buffered(super().fetchall())
        else:
            # Rows of the statement before were read where this one has begun a transaction.
            self._forget()
            self.connection.add_reader(self)
        return self

    def executemany(  # type: ignore[override]
        self, sql: str, parameters: Iterable[Parameters], /
    ) -> Self:
        """Execute one statement once for each set of parameters."""
        self.connection.check_usable()
        self._forget()
        self.connection.run(super().executemany, sql, parameters)
        self._become_buffered(())
        return self

    executescript = SqlCursor.executescript

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _forget(self) -> None:
        # The driver's own rows are those of the next statement.
        self.__class__ = SqliteCursor

    def buffer(self) -> None:
        """Read the rows that are left, before the transaction begins or ends."""
        self._become_buffered(super().fetchall())

    def _become_buffered(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)
        self.__class__ = BufferedCursor

    def after_fork(self) -> None:
        """Read no more in a forked child: the file's connection is the parent's."""
        self.__class__ = ForkedCursor

    def close(self) -> None:
        """Drop the rows that are left."""
        super().close()
        self._become_buffered(())


class BufferedCursor(SqliteCursor):
    """A cursor whose rows were read before the transaction began or ended."""

    __slots__ = ()

    def __next__(self) -> Any:
        return next(self._rows)

    fetchone = SqlCursor.fetchone
    fetchmany = SqlCursor.fetchmany
    fetchall = SqlCursor.fetchall

    def buffer(self) -> None:
        """Do nothing."""


class ForkedCursor(SqliteCursor):
    """A cursor of the parent in a forked child, with rows left: they are the parent's."""

    __slots__ = ()

    def __next__(self) -> Any:
        self.connection.check_process()

    fetchone = SqlCursor.fetchone
    fetchmany = SqlCursor.fetchmany
    fetchall = SqlCursor.fetchall
