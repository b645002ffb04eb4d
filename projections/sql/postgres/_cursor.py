"""A cursor on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg.pq import ExecStatus

from projections.sql._cursor import SqlCursor
from projections.sql.postgres._lexer import number_parameters, split_script
from projections.sql.postgres._rows import NamedRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from projections.sql._cursor import Parameters


class StatementRunner(Protocol):
    """The connection that runs a cursor's statements."""

    def run(self, sql: str, query: str, call: Callable[[Any], Any]) -> Any:
        """Run a statement by ``call(driver's connection)``; return what that returns.

        ``query`` is what is sent for ``sql``.
        """


class OneStatementCursor(psycopg.RawCursor[Any]):
    """A driver's cursor that sends a text as it is, by the protocol that takes one statement.

    Without parameters psycopg would send it by the one that takes several.
    """

    def _execute_send(self, *arguments: Any, **options: Any) -> None:
        super()._execute_send(*arguments, **options | {"force_extended": True})


def execute_one(raw: Any, query: str, values: Sequence[Any] = ()) -> psycopg.RawCursor[Any]:
    """Execute one statement with numbered parameters on a driver's connection."""
    # With values it is sent so by the driver's own cursor too.
    cursor = psycopg.RawCursor(raw) if values else OneStatementCursor(raw)
    cursor.execute(query.encode(), values)
    return cursor


class PostgresCursor(SqlCursor):
    """See :class:`SqlCursor`. Rows of a query are read at once."""

    def __init__(self, connection: StatementRunner) -> None:
        self.connection = connection
        self._names: list[str] | None = None
        self._rowcount = -1
        self._rows: Iterator[NamedRow] = iter(())

    def execute(self, sql: str, parameters: Parameters = (), /) -> Self:
        """Execute one statement, which may give rows."""
        query, count = number_parameters(sql)
        values = _check(count, parameters)
        self._take(self.connection.run(sql, query, lambda raw: execute_one(raw, query, values)))
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Self:
        """Execute one statement once for each set of parameters."""
        query, count = number_parameters(sql)
        rows = [_check(count, tuple(one)) for one in parameters]

        def call(raw: Any) -> Any:
            cursor = OneStatementCursor(raw)
            cursor.executemany(query.encode(), rows)
            return cursor

        done = self.connection.run(sql, query, call)
        self._forget()
        self._rowcount = -1 if done is None else done.rowcount
        return self

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _forget(self) -> None:
        self._names, self._rowcount, self._rows = None, -1, iter(())

    def _take(self, done: Any) -> None:
        """Take the result of a statement; ``None`` for one that only ended a transaction."""
        self._forget()
        if done is None:
            return
        result = done.pgresult
        if result is None or result.status != ExecStatus.TUPLES_OK:
            self._rowcount = done.rowcount
            return
        # The driver's own description asks for the types too, which takes longer than the query.
        names = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
        self._names = names
        self._rows = iter([NamedRow(names, values) for values in done.fetchall()])

    def __next__(self) -> NamedRow:
        return next(self._rows)

    def fetchone(self) -> Any:
        """Return the next row, ``None`` where there is none."""
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self._rows)

    @property
    def description(self) -> Any:
        """The columns of a query, as DB-API has them; ``None`` for other statements."""
        return None if self._names is None else [(name, *[None] * 6) for name in self._names]

    @property
    def rowcount(self) -> int:
        """The number of rows that the last statement changed; -1 for a query."""
        return self._rowcount

    @property
    def lastrowid(self) -> None:
        """Always ``None``: use ``RETURNING``."""
        return None

    def close(self) -> None:
        """Drop the rows that are left."""
        self._rows = iter(())


def _check(count: int, parameters: object) -> tuple[Any, ...]:
    """Return the parameters; raise ProgrammingError unless there is one for each ``?``."""
    if type(parameters) is not tuple and (
        isinstance(parameters, Mapping) or not isinstance(parameters, Sequence)
    ):
        raise sqlite3.ProgrammingError("give the parameters as a sequence, one for each ?")
    if len(parameters) != count:
        raise sqlite3.ProgrammingError(
            f"Incorrect number of bindings supplied. The current statement uses {count}, "
            f"and there are {len(parameters)} supplied."
        )
    return tuple(parameters)
