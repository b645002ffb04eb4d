"""SQL on a connection of the module sqlite3."""

from __future__ import annotations

import sqlite3
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from eventstore.storage.driver import Driver
from eventstore.storage.qualified import qualify
from eventstore.storage.sqlite._catalog import fresh_catalog, read_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from eventstore.storage.driver import Query
    from eventstore.storage.sqlite.connection import SqliteConnection

MAX_COMPLAINTS: Final = 100
"""Complaints of a database about its own file that are passed on."""

SCHEMA: Final = "main"
"""The schema of the log's tables: that of the file, not the one of temporary tables."""

CHUNK: Final = 500
"""Values per IN list: far below the variable limit of every SQLite build."""

FEW_ROWS: Final = 8
"""Below this many rows a statement for the values that they share is not worth preparing."""


@lru_cache(256)
def _insert_columns(sql: str, shared: tuple[bool, ...], rows: int) -> str:
    """Write an INSERT whose parameters are columns: one value where it is shared, or each row's."""
    numbers = count(1)
    columns = [
        [f"?{next(numbers)}"] * rows if one else [f"?{next(numbers)}" for _ in range(rows)]
        for one in shared
    ]
    marks = [f"({', '.join(row)})" for row in zip(*columns, strict=True)]
    return f"{sql} {', '.join(marks)}"


class SqliteDriver(Driver):
    """SQL on a connection of the module sqlite3."""

    dialect = "sqlite"

    # The number of the schema, with which SQLite itself knows whether statements are up to date.
    table_mark = "(SELECT schema_version FROM main.pragma_schema_version)"

    holds = "instr({}, ?) > 0"

    def __init__(self, connection: SqliteConnection) -> None:
        super().__init__(connection.raw)
        self.session = connection
        """The connection with what projections have begun upon it."""

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, for projections that share the transaction."""
        return self.session.tables

    @property
    def in_transaction(self) -> bool:
        """Whether the database still has a transaction open on this connection."""
        return bool(self._raw.in_transaction)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        found: list[tuple[Any, ...]] = self._raw.execute(
            qualify(sql, SCHEMA), parameters
        ).fetchall()
        return found

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or ``None``."""
        found: tuple[Any, ...] | None = self._raw.execute(
            qualify(sql, SCHEMA), parameters
        ).fetchone()
        return found

    def events(
        self,
        sql: str,
        order: str,
        parameters: Sequence[Any],
        limit: int | None,
        size: int,  # noqa: ARG002 - SQLite computes a row when it is asked for it
    ) -> Iterator[tuple[Any, ...]]:
        """Return an iterator over the rows of a query for events, which holds one at a time."""
        sql = f"{sql} ORDER BY {order}"
        if limit is not None:
            sql, parameters = f"{sql} LIMIT ?", [*parameters, limit]
        # The cursor itself: a generator around it takes a thirtieth of the time of a read.
        cursor: Iterator[tuple[Any, ...]] = self._raw.execute(qualify(sql, SCHEMA), parameters)
        return cursor

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement; return how many rows it touched."""
        count: int = self._raw.execute(qualify(sql, SCHEMA), parameters).rowcount
        return count

    def defer(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement at once: there is no exchange to save."""
        self._raw.execute(qualify(sql, SCHEMA), parameters)

    def together(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """Return all rows of several queries."""
        return [self.rows(sql, parameters) for sql, parameters in queries]

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row."""
        self._raw.executemany(qualify(sql, SCHEMA), rows)

    def insert_together(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows by one statement; what all of them share is given to SQLite once."""
        if len(rows) < FEW_ROWS:
            super().insert_together(sql, rows)
            return
        columns = list(zip(*rows, strict=True))
        shared = tuple([one[0] == one[-1] and one.count(one[0]) == len(rows) for one in columns])
        values: list[Any] = []
        for column, is_shared in zip(columns, shared, strict=True):
            values += column[:1] if is_shared else column
        self.defer(_insert_columns(sql, shared, len(rows)), values)

    def flush(self) -> None:
        """Do nothing: nothing is ever put off."""

    def script(self, sql: str) -> None:
        """Execute several statements; sqlite3's own way would commit first."""
        statement = ""
        for line in sql.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                self._raw.execute(statement)
                statement = ""

    def lock_schema(self) -> None:
        """Do nothing: a transaction that writes has the file for itself."""

    def lock_appends(self) -> None:
        """Do nothing: a transaction that writes has the file for itself."""

    def has_table(self, name: str) -> bool:
        """Whether the file has such a table."""
        found = self.row(
            "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?", (name,)
        )
        return found is not None

    def catalog(self) -> dict[str, str]:
        """Return the tables, indexes and triggers of the log, as normalised SQL."""
        return read_catalog(self._raw)

    def expected_catalog(self) -> dict[str, str]:
        """Return the catalog of a log that was made just now, in memory."""
        return fresh_catalog()

    def self_check(self) -> list[str]:
        """Return what ``PRAGMA integrity_check`` complains of."""
        found = [str(row[0]) for row in self.rows(f"PRAGMA integrity_check({MAX_COMPLAINTS})")]
        return [line for line in found if line != "ok"]

    def listed(self, sql: str, values: Sequence[Any]) -> list[Query]:
        """Return a query for each chunk of the values."""
        chunks = [values[start : start + CHUNK] for start in range(0, len(values), CHUNK)]
        return [(sql.format(", ".join("?" * len(chunk))), chunk) for chunk in chunks]
