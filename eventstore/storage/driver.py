"""The drivers' own connections, for the log's hot path.

SQLAlchemy keeps the connections and runs the views' statements. The log's own statements
never change, so they go to the driver as they are: through SQLAlchemy one durable append
took 1.1 ms where the driver takes 0.3 (docs/decisions/0003-sql-on-the-hot-path.md).
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from eventstore.storage.schema_check import fresh_catalog, sqlite_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

MAX_COMPLAINTS: Final = 100
"""Complaints of a database about its own file that are passed on."""

ROWS: Final = 64
"""Rows per INSERT, halved for what is left: few statements, so that all stay prepared, and
fewer than 999 values, the limit of old SQLite builds."""

CHUNK: Final = 500
"""Values per IN list: far below the variable limit of every SQLite build."""


Query: TypeAlias = "tuple[str, Sequence[Any]]"
"""SQL with ``?`` parameters, and their values."""


def _do_nothing() -> None:
    """Limit nothing."""


class Driver(ABC):
    """Runs SQL with ``?`` parameters on the DBAPI connection beneath SQLAlchemy's."""

    for_update: ClassVar[str] = ""
    """What a SELECT ends with to lock its rows, where the transaction itself does not."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._raw: Any = connection.connection.driver_connection
        self.keep_alive: Callable[[], None] = _do_nothing
        """Tells whoever limits how long the work may take that it goes on."""

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, for views that share the transaction."""
        self.flush()
        return self._connection

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """Whether the database still has a transaction open on this connection."""

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""

    @abstractmethod
    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or ``None``."""

    @abstractmethod
    def events(
        self, sql: str, order: str, parameters: Sequence[Any], limit: int | None, size: int
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query for events, ordered, at most ``limit`` of them.

        ``sql`` selects the columns of an event, in the order of its fields. Whoever stops
        after ``size`` bytes of content has not had much more than that in memory.
        """

    @abstractmethod
    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement; return how many rows it touched."""

    @abstractmethod
    def defer(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement no later than the next one, whose exchange it may share.

        For statements of which nothing is asked back; what goes wrong is raised then.
        """

    @abstractmethod
    def together(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """Return all rows of several queries, in one exchange where there is a network."""

    @abstractmethod
    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row, no later than the next statement."""

    @abstractmethod
    def flush(self) -> None:
        """Execute what was deferred, before somebody else uses the connection."""

    @abstractmethod
    def script(self, sql: str) -> None:
        """Execute several statements, without parameters, in the open transaction."""

    @abstractmethod
    def lock_schema(self) -> None:
        """Keep others from changing the schema until the transaction ends."""

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Whether there is such a table where the log lives."""

    @abstractmethod
    def catalog(self) -> dict[str, str]:
        """Return what the database says that the log's tables are made of.

        Each object by a name for people (``trigger head_kept``), as normalised text.
        """

    @abstractmethod
    def expected_catalog(self) -> dict[str, str]:
        """Return the catalog of a fresh log."""

    @abstractmethod
    def self_check(self) -> list[str]:
        """Let the database check its own file; return what it complains of."""

    @abstractmethod
    def listed(self, sql: str, values: Sequence[Any]) -> list[Query]:
        """Return the queries, any number, that ask ``sql`` for values in its ``IN ({})``."""

    def lookup(self, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query whose ``IN ({})`` takes a list of values."""
        yield from chain.from_iterable(self.together(*self.listed(sql, values)))

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows, many per statement, no later than the next one.

        ``sql`` ends in ``VALUES``.

        sqlite3 lets go of the interpreter lock at each step of a statement, and wins it
        back from a busy event loop after 5 ms: with one step per row, a batch of 1,000
        beside such a loop took seconds, all the while holding the turn to write.
        """
        source = iter(rows)
        while left := list(islice(source, ROWS)):
            marks = f"({', '.join('?' * len(left[0]))})"
            size = ROWS
            while left:
                while size > len(left):
                    size //= 2
                values = list(chain.from_iterable(left[:size]))
                self.defer(f"{sql} {', '.join([marks] * size)}", values)
                del left[:size]


class SqliteDriver(Driver):
    """SQL on a connection of the module sqlite3."""

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

    def events(
        self,
        sql: str,
        order: str,
        parameters: Sequence[Any],
        limit: int | None,
        size: int,  # noqa: ARG002 - SQLite computes a row when it is asked for it
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query for events, holding one of them at a time."""
        sql = f"{sql} ORDER BY {order}"
        if limit is not None:
            sql, parameters = f"{sql} LIMIT ?", [*parameters, limit]
        cursor = self._raw.execute(sql, parameters)
        try:
            yield from cursor
        finally:
            cursor.close()

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement; return how many rows it touched."""
        count: int = self._raw.execute(sql, parameters).rowcount
        return count

    def defer(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement at once: there is no exchange to save."""
        self._raw.execute(sql, parameters)

    def together(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """Return all rows of several queries."""
        return [self.rows(sql, parameters) for sql, parameters in queries]

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row."""
        self._raw.executemany(sql, rows)

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

    def has_table(self, name: str) -> bool:
        """Whether the file has such a table."""
        found = self.row("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,))
        return found is not None

    def catalog(self) -> dict[str, str]:
        """Return the tables, indexes and triggers of the log, as normalised SQL."""
        return sqlite_catalog(self._raw)

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
