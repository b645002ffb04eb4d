"""A cursor on SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from projections.sql._cursor import SqlCursor
from projections.sql.sqlite._statements import split_script

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from projections.sql._cursor import Parameters


class StatementRunner(Protocol):
    """The connection that runs a cursor's statements."""

    def run(self, call: Callable[..., Any], sql: str, *arguments: Any) -> bool:
        """Run a statement by ``call(sql, *arguments)``; return True if it writes."""

    def add_reader(self, cursor: SqliteCursor) -> None:
        """Remember a cursor that may have rows left."""

    forked: bool
    """True in a forked child of the process that opened it."""

    def check_process(self) -> None:
        """Raise ForkedError in a forked child."""


class SqliteCursor(SqlCursor):
    """See :class:`SqlCursor`. Rows of a query are read as they are asked for."""

    def __init__(self, connection: StatementRunner, raw: sqlite3.Cursor) -> None:
        self.connection = connection
        self._raw = raw
        self._buffer: Iterator[Any] | None = None

    def execute(self, sql: str, parameters: Parameters = (), /) -> Self:
        """Execute one statement, which may give rows."""
        # Rows that are left of the statement before are read, and dropped, where this one begins a
        # transaction.
        self._buffer, connection = None, self.connection
        if connection.run(self._raw.execute, sql, parameters):
            # RETURNING: SQLite commits no transaction while such a statement has rows left.
            self._buffer = iter(self._raw.fetchall())
        else:
            self._buffer = None
            connection.add_reader(self)
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Self:
        """Execute one statement once for each set of parameters."""
        self._buffer = None
        self.connection.run(self._raw.executemany, sql, parameters)
        self._buffer = iter(())
        return self

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _forget(self) -> None:
        self._buffer = None

    def buffer(self) -> None:
        """Read the rows that are left, before the transaction begins or ends."""
        if self._buffer is None:
            self._buffer = iter(self._raw.fetchall())

    def __next__(self) -> Any:
        if self._buffer is not None:
            return next(self._buffer)
        return next(self._left())

    def fetchone(self) -> Any:
        """Return the next row, ``None`` where there is none."""
        return super().fetchone() if self._buffer is not None else self._left().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` (default :attr:`arraysize`) rows."""
        if self._buffer is not None:
            return super().fetchmany(size)
        return self._left().fetchmany(self.arraysize if size is None else size)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        if self._buffer is not None or self.connection.forked:
            return super().fetchall()
        return self._raw.fetchall()

    def _left(self) -> sqlite3.Cursor:
        if self.connection.forked:
            self.connection.check_process()
        return self._raw

    @property
    def description(self) -> Any:
        """The columns of a query, as DB-API has them; ``None`` for other statements."""
        return self._raw.description

    @property
    def rowcount(self) -> int:
        """The number of rows that the last statement changed; -1 for a query."""
        return self._raw.rowcount

    @property
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted last."""
        return self._raw.lastrowid

    def close(self) -> None:
        """Drop the rows that are left."""
        self._raw.close()
        self._buffer = iter(())
