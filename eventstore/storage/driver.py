"""The drivers' own connections, for the log's hot path.

SQLAlchemy runs the statements of projections, and keeps PostgreSQL's connections. The log's own
statements never change, so they go to the driver as they are: through SQLAlchemy one durable append
took 1.1 ms where the driver takes 0.3 (docs/decisions/0003-sql-on-the-hot-path.md).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, TypeAlias

from eventstore.log.events import Cursor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

ROWS: Final = 64
"""Rows per INSERT, halved for what is left: few statements, so that all stay prepared, and
fewer than 999 values, the limit of old SQLite builds."""


_HEAD_AND_VIEW: Final = (
    "SELECT h.log_id, h.position, h.hash, p.version, p.position "
    "FROM head h LEFT JOIN projection p ON p.name = ?"
)

MOVE_HEAD: Final = "UPDATE head SET position = ?, recorded_us = ?, hash = ?"

Query: TypeAlias = "tuple[str, Sequence[Any]]"
"""SQL with ``?`` parameters, and their values."""


class ViewRows(NamedTuple):
    """Rows of an inline projection's tables, all of one snapshot.

    ``head`` is the log's, ``position`` the projection's, 0 for none; ``version`` is that of its
    tables, ``None`` where it has none.
    """

    head: Cursor
    version: int | None
    position: int
    rows: list[list[tuple[Any, ...]]]


def _do_nothing() -> None:
    """Limit nothing."""


class Driver(ABC):
    """Runs SQL with ``?`` parameters on a DBAPI connection."""

    dialect: ClassVar[str]
    """The database's name, as SQLAlchemy and the backend call it."""

    table_mark: ClassVar[str]
    """An expression that changes once the table of incarnations is made, or at any such change."""

    holds: ClassVar[str]
    """An expression for whether the bytes in a column, ``{}``, hold those of a parameter."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.keep_alive: Callable[[], None] = _do_nothing
        """Called between the steps of long work: its time limit begins anew."""

    @property
    def raw(self) -> Any:
        """The DBAPI connection, for statements of the database's own kind."""
        self.flush()
        return self._raw

    @property
    @abstractmethod
    def connection(self) -> Connection:
        """SQLAlchemy's connection, for projections that share the transaction."""

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

    def head_row(
        self,
        columns: str,
        *,
        lock: bool,  # noqa: ARG002 - for databases whose transactions do not lock by themselves
    ) -> tuple[Any, ...] | None:
        """Return these columns of the head row, or ``None`` where it is missing.

        ``lock`` keeps the row as it is until the transaction ends.
        """
        return self.row(f"SELECT {columns} FROM head")  # noqa: S608 - our own names

    def move_head(self, position: int, recorded_us: int, hash_: bytes) -> None:
        """Write the head row, which is locked, no later than the next statement."""
        self.defer(MOVE_HEAD, (position, recorded_us, hash_))

    @abstractmethod
    def events(
        self, sql: str, order: str, parameters: Sequence[Any], limit: int | None, size: int
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query for events, ordered, at most ``limit`` of them.

        ``sql`` selects the columns of an event, in the order of its fields. A caller that stops
        after ``size`` bytes of content never has much more than that in memory.
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

    def look(self, view: str, queries: Sequence[Query]) -> ViewRows:
        """Return all rows of queries, with the head and a projection's checkpoint beside it."""
        place, *rows = self.together((_HEAD_AND_VIEW, (view,)), *queries)
        if not place:
            raise LookupError("the head row is missing")
        *head, version, position = place[0]
        return ViewRows(Cursor(*head), version, position or 0, rows)

    def ahead(self, *queries: Query) -> None:  # noqa: B027
        """Ask queries together with the next statement, where that saves an exchange.

        Their answers are those of :meth:`row`, :meth:`rows` and :meth:`together` for the same SQL
        and values later in the transaction: nothing may change what they read before that.
        """

    @abstractmethod
    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row, no later than the next statement."""

    @abstractmethod
    def flush(self) -> None:
        """Execute what was deferred, before the connection is used in another way."""

    @abstractmethod
    def script(self, sql: str) -> None:
        """Execute several statements, without parameters, in the open transaction."""

    @abstractmethod
    def lock_schema(self) -> None:
        """Keep others from changing the schema until the transaction ends."""

    @abstractmethod
    def lock_appends(self) -> None:
        """Keep others from appending until the transaction ends; who waits then reads anew."""

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Whether there is such a table where the log lives."""

    def may_make_tables(self) -> bool:
        """Whether tables may be made where the log lives."""
        return True

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

        sqlite3 releases the interpreter lock at each step of a statement, and a busy event loop
        gives it back after 5 ms: with one step per row, a batch of 1,000 beside such a loop held
        the turn to write for seconds.
        """
        for part in _in_parts(rows):
            self.insert_together(sql, part)

    def insert_together(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Insert at most ``ROWS`` rows by one statement, no later than the next one."""
        values = list(chain.from_iterable(rows))
        self.defer(_insert_rows(sql, len(rows[0]), len(rows)), values)


def _in_parts(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    source = iter(rows)
    while left := list(islice(source, ROWS)):
        while left:
            size = 1 << (len(left).bit_length() - 1)  # The largest power of two in it.
            yield left[:size]
            del left[:size]


def rows_together(sql: str, rows: Iterable[Sequence[Any]], end: str) -> Iterator[Query]:
    """Yield the statements that insert rows, many in each: ``sql`` and ``end`` around the rows."""
    for part in _in_parts(rows):
        values = list(chain.from_iterable(part))
        yield _insert_rows(sql, len(part[0]), len(part), end), values


@cache
def _insert_rows(sql: str, columns: int, rows: int, end: str = "") -> str:
    """Write the marks of an INSERT of several rows."""
    marks = f"({', '.join('?' * columns)})"
    return f"{sql} {', '.join([marks] * rows)}{end}"
