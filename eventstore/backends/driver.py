"""The driver's own connection, for the log's hot path.

SQLAlchemy makes the schema, keeps the connections and runs the views' statements. The
log's ten statements never change, so they go to the driver as they are: through
SQLAlchemy one durable append took 1.1 ms where the driver takes 0.3
(docs/decisions/0003-sql-on-the-hot-path.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

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

    def stream(self, sql: str, parameters: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows of a query, a chunk at a time."""
        cursor = self._raw.execute(sql, parameters)
        try:
            while rows := cursor.fetchmany(CHUNK):
                yield rows
        finally:
            cursor.close()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement; return how many rows it touched."""
        count: int = self._raw.execute(sql, parameters).rowcount
        return count

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row."""
        self._raw.executemany(sql, rows)

    def lookup(self, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query whose ``{}`` takes a list of values, in chunks."""
        for start in range(0, len(values), CHUNK):
            chunk = values[start : start + CHUNK]
            yield from self.rows(sql.format(", ".join("?" * len(chunk))), chunk)
