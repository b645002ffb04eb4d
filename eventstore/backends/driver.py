"""The driver's own connection, for the log's hot path.

SQLAlchemy makes the schema, keeps the connections and runs the views' statements. The
log's ten statements never change, so they go to the driver as they are: through
SQLAlchemy one durable append took 1.1 ms where the driver takes 0.3
(docs/decisions/0003-sql-on-the-hot-path.md).
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

ROWS: Final = 64
"""Rows per INSERT, halved for what is left: few statements, so that all stay prepared, and
fewer than 999 values, the limit of old SQLite builds."""

CHUNK: Final = 500
"""Values per IN list: far below the variable limit of every SQLite build."""


class Driver:
    """Runs SQL with ``?`` parameters on the DBAPI connection beneath ``connection``.

    Views that share the transaction use ``connection`` itself.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._raw: Any = connection.connection.driver_connection

    @property
    def in_transaction(self) -> bool:
        """Whether the database still has a transaction open on this connection."""
        return bool(self._raw.in_transaction)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        found: list[tuple[Any, ...]] = self._raw.execute(sql, parameters).fetchall()
        return found

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or ``None``."""
        found: tuple[Any, ...] | None = self._raw.execute(sql, parameters).fetchone()
        return found

    def stream(self, sql: str, parameters: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query, holding one of them at a time."""
        cursor = self._raw.execute(sql, parameters)
        try:
            yield from cursor
        finally:
            cursor.close()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement; return how many rows it touched."""
        count: int = self._raw.execute(sql, parameters).rowcount
        return count

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row."""
        self._raw.executemany(sql, rows)

    def insert(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, many per statement; ``sql`` ends in ``VALUES``.

        sqlite3 lets go of the interpreter lock at each step of a statement, and wins it
        back from a busy event loop after 5 ms: with one step per row, a batch of 1,000
        beside such a loop took seconds, all the while holding the turn to write.
        """
        start, size = 0, ROWS
        while start < len(rows):
            while size > len(rows) - start:
                size //= 2
            some = rows[start : start + size]
            marks = f"({', '.join('?' * len(some[0]))})"
            self._raw.execute(f"{sql} {', '.join([marks] * size)}", list(chain.from_iterable(some)))
            start += size

    def lookup(self, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query whose ``{}`` takes a list of values, in chunks."""
        for start in range(0, len(values), CHUNK):
            chunk = values[start : start + CHUNK]
            yield from self.rows(sql.format(", ".join("?" * len(chunk))), chunk)
