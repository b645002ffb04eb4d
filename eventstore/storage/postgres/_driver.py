"""SQL on a connection of psycopg 3."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from psycopg.errors import InFailedSqlTransaction
from psycopg.pq import TransactionStatus

from eventstore.log.operations import Head
from eventstore.storage import incarnation
from eventstore.storage.catalog import TABLES, as_catalog
from eventstore.storage.driver import MOVE_HEAD, Driver
from eventstore.storage.postgres._catalog import QUERIES, read_pattern
from eventstore.storage.postgres._head import page_of, select_head, update_head
from eventstore.storage.postgres._replaced_tables import ReplacedError, replaced
from eventstore.storage.postgres._view_rows import ask_view, read_view
from eventstore.storage.postgres.engine import LOCK_SCHEMA
from eventstore.storage.qualified import qualify
from eventstore.storage.reading import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from eventstore.storage.driver import Query, ViewRows
    from eventstore.storage.postgres.connection import Session
    from eventstore.storage.postgres.watchdog import Limit

COPY_ROWS: Final = 8
"""From so many rows on, COPY is faster than INSERT (64 rows: 0.4 ms and 1.6 ms)."""


_LISTED: Final = "= ANY(?)"


@cache
def _placeholders(sql: str) -> str:
    """Write psycopg's placeholders; the log's own SQL has no other ``?`` or ``%``."""
    return sql.replace("?", "%s")


@cache
def _as_copy(sql: str) -> str:
    """Turn ``INSERT INTO table (…) VALUES`` into a COPY."""
    return f"COPY {sql.removeprefix('INSERT INTO ').removesuffix(' VALUES')} FROM STDIN"


@cache
def _as_page(sql: str, order: str, *, limited: bool) -> str:
    """Let the database end a page once its content has the size, not the client.

    A result arrives as a whole: without this, a page of 1,024 events of 16 MB would be in
    memory before its size is known.
    """
    columns = sql.index(" FROM ")
    length = "coalesce(octet_length(e.data) + octet_length(e.metadata), 0)"
    inner = (
        f"{sql[:columns]}, sum({length}) OVER (ORDER BY {order}) - {length} AS before"
        f"{sql[columns:]} ORDER BY {order}{' LIMIT ?' if limited else ''}"
    )
    selected = sql[:columns].removeprefix("SELECT ").replace("coalesce(s.name, '') AS ", "")
    wanted = ", ".join(column.split(".")[-1] for column in selected.split(", "))
    return f"SELECT {wanted} FROM ({inner}) page WHERE before < ?"  # noqa: S608 - our own SQL


@cache
def _if_small(sql: str, order: str) -> str:
    """Give nothing at all where a range of positions holds more than the size.

    Adding up first costs a third of what ending a page in its middle does.
    """
    content = (
        "SELECT coalesce(sum(octet_length(data) + octet_length(metadata)), 0) "
        "FROM event WHERE position > ? AND position <= ?"
    )
    return f"{sql} AND ({content}) < ? ORDER BY {order}"


class PostgresDriver(Driver):
    """Runs SQL with ``?`` parameters; results travel in binary.

    ``limit`` hears of every statement: time is limited for each, not for all of them.
    """

    dialect = "postgresql"

    table_mark = (
        "pg_catalog.to_regclass(pg_catalog.concat(pg_catalog.quote_ident("
        f"pg_catalog.current_schema()), '.{incarnation.TABLE}'))::pg_catalog.oid::pg_catalog.int8"
    )

    holds = "position(? IN {}) > 0"

    def __init__(self, connection: Connection, limit: Limit) -> None:
        super().__init__(connection.connection.driver_connection)
        self._connection = connection
        self._limit = limit
        self._deferred: list[Query] = []
        self.asks_ahead = True
        self._ahead: list[Query] = []
        self._answers: list[tuple[Query, list[tuple[Any, ...]]]] = []

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's connection, for projections that share the transaction."""
        self.flush()
        self._limit.go_on()
        return self._connection

    @property
    def session(self) -> Session:
        """The session itself, without sending what was deferred."""
        session: Session = self._raw
        return session

    def commit(self) -> None:
        """Commit; raise InFailedSqlTransaction where there was nothing left to commit."""
        # The server answers a COMMIT of a transaction that failed with ROLLBACK, not an error.
        if self._execute("COMMIT", ()).statusmessage != "COMMIT":
            raise InFailedSqlTransaction(
                "nothing was stored, because a statement had failed and its sender went on: "
                "an inline projection must not hide an error of the database"
            )

    def leave(self) -> None:
        """End a transaction that has only read, and with it the settings that were made in it."""
        if self._raw.info.transaction_status == TransactionStatus.INERROR:
            self.commit()  # It raises.
        self._execute("ROLLBACK", ())

    @property
    def in_transaction(self) -> bool:
        """Whether the database still has a transaction open on this connection."""
        return bool(self._raw.info.transaction_status != TransactionStatus.IDLE)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        if self._answers and (known := self._take_answer((sql, parameters))) is not None:
            return known
        found: list[tuple[Any, ...]] = self._execute(sql, parameters).fetchall()
        return found

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or ``None``."""
        if self._answers and (known := self._take_answer((sql, parameters))) is not None:
            return known[0] if known else None
        found: tuple[Any, ...] | None = self._execute(sql, parameters).fetchone()
        return found

    def ahead(self, *queries: Query) -> None:
        """Ask queries together with the next statement, and keep their answers for later."""
        if self.asks_ahead:
            self._ahead += queries

    def _take_answer(self, query: Query) -> list[tuple[Any, ...]] | None:
        for index, (asked, rows) in enumerate(self._answers):
            if asked == query:
                del self._answers[index]
                return rows
        return None

    def head_row(self, columns: str, *, lock: bool) -> tuple[Any, ...] | None:
        """Return these columns of the head row, or ``None``; ``lock`` keeps it as it is."""
        row = self.row(select_head(columns, self._raw.head_page, lock=lock))
        return None if row is None else self._without_place(row)

    def _without_place(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return what was selected of the head row; note its place."""
        *found, place = row
        self._raw.head_page = page_of(place)
        return tuple(found)

    def read_and_commit(self, *queries: Query) -> tuple[Head, list[list[tuple[Any, ...]]]]:
        """Return the head and all rows of several queries, and commit, in one exchange."""
        head = select_head(HEAD, self._raw.head_page, lock=False)
        with self._pipeline():
            cursors = [self._send(sql, parameters) for sql, parameters in ((head, ()), *queries)]
            self._send("COMMIT", ())
        rows, *found = [cursor.fetchall() for cursor in cursors]
        if not rows:
            raise LookupError("the head row is missing")
        return Head(*self._without_place(rows[0])), found

    def look(self, view: str, queries: Sequence[Query]) -> ViewRows:
        """Return all rows of queries, with head and checkpoint, and commit, in one exchange."""
        with self._pipeline():
            cursors = [self._send(*query) for query in ask_view(self._raw, view, queries)]
            gone = self._send(*replaced(self._raw, view))
            self._send("COMMIT", ())
        if gone.fetchall():
            raise ReplacedError("")
        return read_view(self._raw, queries, [cursor.fetchall() for cursor in cursors])

    def look_alone(self, view: str, query: Query) -> ViewRows:
        """Return the rows of a query with head and checkpoint, by one statement."""
        (asked,) = ask_view(self._raw, view, [query])
        return read_view(self._raw, [query], [self.rows(*asked)])

    def move_head(self, position: int, recorded_us: int, hash_: bytes) -> None:
        """Write the head row, which is locked, no later than the next statement."""
        sql = update_head(MOVE_HEAD, self._raw.head_page)
        self.defer(sql, (position, recorded_us, hash_))

    def whole_range(self, sql: str, order: str, after: int, until: int, size: int) -> Query:
        """Return a query for the events of a range; it gives none where they exceed ``size``."""
        return _if_small(sql, order), [after, until, after, until, size]

    def events(
        self, sql: str, order: str, parameters: Sequence[Any], limit: int | None, size: int
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query for events, one page of ``size`` bytes at the most."""
        if limit is not None:
            yield from self.rows(_as_page(sql, order, limited=True), [*parameters, limit, size])
            return
        after, until, *_ = parameters
        found = self.rows(_if_small(sql, order), [*parameters, after, until, size])
        if not found:
            found = self.rows(_as_page(sql, order, limited=False), [*parameters, size])
        yield from found

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute a statement; return how many rows it touched."""
        count: int = self._execute(sql, parameters).rowcount
        return count

    def defer(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement together with the next one."""
        self._deferred.append((sql, parameters))

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement once per row, together with the next one."""
        self._deferred += [(sql, row) for row in rows]

    def together(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """Return all rows of several queries, in one exchange."""
        known = [self._take_answer(query) if self._answers else None for query in queries]
        if None not in known:
            return [rows for rows in known if rows is not None]
        if len(queries) < 2 and not self._deferred:
            return [self.rows(*query) for query in queries]
        with self._pipeline():
            asked = [self._send(*q) for q, rows in zip(queries, known, strict=True) if rows is None]
        found = iter(asked)
        return [next(found).fetchall() if rows is None else rows for rows in known]

    def take_deferred(self) -> list[Query]:
        """Return what was deferred, for another driver to execute on this connection."""
        deferred, self._deferred = self._deferred, []
        return deferred

    def flush(self) -> None:
        """Execute what was deferred."""
        if self._deferred:
            with self._pipeline():
                pass

    def _execute(self, sql: str, parameters: Sequence[Any]) -> Any:
        if not self._deferred and not self._ahead:
            return self._send(sql, parameters)
        ahead, self._ahead = self._ahead, []
        with self._pipeline():
            cursor = self._send(sql, parameters)
            found = [(query, self._send(*query)) for query in ahead]
        self._answers = [(query, answer.fetchall()) for query, answer in found]
        return cursor

    def execute_kept(self, text: str, parameters: Sequence[Any]) -> Any:
        """Execute a statement in psycopg's form, which the session keeps prepared."""
        with self._pipeline() if self._deferred else nullcontext():
            return self._raw.execute(text, parameters, binary=True, prepare=True)

    @contextmanager
    def _pipeline(self) -> Iterator[None]:
        """Send what was deferred and what the block sends as one exchange."""
        deferred, self._deferred = self._deferred, []
        with self._raw.pipeline():
            for sql, parameters in deferred:
                self._send(sql, parameters)
            yield

    def _send(self, sql: str, parameters: Sequence[Any]) -> Any:
        self._limit.go_on()
        # A statement that is kept is planned once, for a log that may be empty then: looking up
        # ids by that plan reads all of it, each time, however long it has become.
        kept = False if _LISTED in sql else None
        schema = self._raw.schema.replace("%", "%%") if parameters else self._raw.schema
        text = qualify(_placeholders(sql), schema) if schema else _placeholders(sql)
        return self._raw.execute(text, parameters or None, binary=True, prepare=kept)

    def script(self, sql: str) -> None:
        """Execute several statements, without parameters, in the open transaction."""
        self.flush()
        self._raw.execute(sql.encode())

    def lock_schema(self) -> None:
        """Keep others from changing the schema until the transaction ends."""
        self.rows(LOCK_SCHEMA)

    def lock_appends(self) -> None:
        """Keep others from appending until the transaction ends.

        A lock on the table, which an append waits for before its snapshot is taken: one on the
        head row alone it would wait for with a snapshot of what was there before.
        """
        self.run("LOCK TABLE head IN EXCLUSIVE MODE")

    def has_table(self, name: str) -> bool:
        """Whether the schema that the log lives in has such a table."""
        found = self.row(
            "SELECT 1 FROM pg_catalog.pg_tables "
            "WHERE schemaname = current_schema() AND tablename = ?",
            (name,),
        )
        return found is not None

    def may_make_tables(self) -> bool:
        """Whether the session's role may make tables in the log's schema."""
        asked = "SELECT pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'CREATE')"
        ((may,),) = self.rows(asked)
        return bool(may)

    def catalog(self) -> dict[str, str]:
        """Return the columns, constraints, indexes and triggers of the log's tables."""
        tables = list(TABLES)
        return as_catalog(row for query in QUERIES for row in self.rows(query, (tables,)))

    def expected_catalog(self) -> dict[str, str]:
        """Return the catalog of a fresh log, as it was written down."""
        return read_pattern()

    def self_check(self) -> list[str]:
        """Return nothing: the server checks its pages as it reads them."""
        return []

    def listed(self, sql: str, values: Sequence[Any]) -> list[Query]:
        """Return one query that takes all the values as an array, or none."""
        return [(sql.replace("IN ({})", _LISTED), [list(values)])] if values else []

    def _copy(self, sql: str) -> str:
        return qualify(_as_copy(sql), self._raw.schema) if self._raw.schema else _as_copy(sql)

    def insert(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Insert rows; ``sql`` ends in ``VALUES``. Many go by COPY, each as soon as it is made."""
        source = iter(rows)
        first = list(islice(source, COPY_ROWS))
        if len(first) < COPY_ROWS:
            super().insert(sql, first)
            return
        self.flush()
        self._limit.go_on()
        with self._raw.cursor() as cursor, cursor.copy(self._copy(sql)) as copy:
            for row in chain(first, source):
                copy.write_row(row)
