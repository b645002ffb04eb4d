"""Statements that a session keeps by name, answered while an event loop goes on.

libpq is called by psycopg's own wrapper. What a statement costs beyond the exchange is then a tenth
of what a cursor takes: it is sent by its name, and its rows are made in one call.
"""

from __future__ import annotations

import re
import select
import time
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import anyio
import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

from eventstore.storage.qualified import qualify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg.pq.abc import PGresult

    from eventstore.storage.driver import Query
    from eventstore.storage.postgres.connection import Session

KEPT: Final = 200
"""Statements that a session keeps; it is of no more use then."""

REST_MS: Final = 1
"""How long the loop waits for the rest of an answer that has begun to arrive.

A server sends what it has found so far, 8 KiB at a time: to go on with other tasks between takes
longer than to find the next rows.
"""

_KNOWN: Final = 1_024
"""Texts of statements that are remembered."""

_TEXT: Final = 0
_BINARY: Final = 1

_ENCODERS: Final[dict[type, Callable[[Any], tuple[bytes | None, int]]]] = {
    # Text is binary too: libpq takes other parameters to end at a NUL, which the server refuses.
    str: lambda value: (value.encode(), _BINARY),
    bytes: lambda value: (value, _BINARY),
    int: lambda value: (b"%d" % value, _TEXT),
    type(None): lambda _: (None, _TEXT),
}

Encoded = tuple[str, list[bytes | None], list[int]]
"""SQL with ``?`` parameters, their values, and the format of each."""


def encode(query: Query) -> Encoded | None:
    """Return a query as it is sent; ``None`` where a value is of a type that is not sent so."""
    sql, values = query
    try:
        pairs = [_ENCODERS[type(value)](value) for value in values]
    except (KeyError, UnicodeEncodeError):
        return None
    return sql, [value for value, _ in pairs], [format_ for _, format_ in pairs]


@lru_cache(_KNOWN)
def _numbered(sql: str, schema: str) -> bytes:
    """Return SQL with the server's own marks, and the log's tables by their full names."""
    numbers = count(1)
    marked = re.sub(r"\?", lambda _: f"${next(numbers)}", qualify(sql, schema) if schema else sql)
    return marked.encode()


class PreparedStatements:
    """The statements of one session, which is used for nothing else."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._pgconn = session.pgconn
        self._names: dict[str, bytes] = {}
        self._rows = Transformer(session)
        self._rest = select.poll()
        self._rest.register(self._pgconn.socket, select.POLLIN)
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()

    @property
    def full(self) -> bool:
        """Whether it keeps so many statements that another session is cheaper."""
        return len(self._names) >= KEPT

    async def ask(self, queries: Sequence[Encoded]) -> list[list[tuple[Any, ...]]]:
        """Return all rows of each statement, in one exchange.

        Raises psycopg's errors and OSError. After these, and where the caller is cancelled, the
        session is of no more use.
        """
        new = [self._send(*query) for query in queries]
        self._pgconn.pipeline_sync()
        results = iter(await self._answers())
        found = []
        for is_new in new:
            if is_new:
                next(results)
            found.append(self._rows_of(next(results)))
        return found

    def _send(self, sql: str, values: list[bytes | None], formats: list[int]) -> bool:
        """Send a statement; return whether it is prepared at this time."""
        name = self._names.get(sql)
        is_new = name is None
        if name is None:
            name = self._names[sql] = b"eventstore_%d" % len(self._names)
            self._pgconn.send_prepare(name, _numbered(sql, self.session.schema))
        self._pgconn.send_query_prepared(name, values, formats, result_format=_BINARY)
        return is_new

    async def _answers(self) -> list[PGresult]:
        """Return the results up to the end of the exchange; raise the first that is an error."""
        pgconn, file = self._pgconn, self._pgconn.socket
        while pgconn.flush():
            await anyio.wait_writable(file)
        found: list[PGresult] = []
        until = 0.0
        while True:
            while pgconn.is_busy():
                if time.monotonic() >= until or not self._rest.poll(REST_MS):
                    await anyio.wait_readable(file)
                    until = until or time.monotonic() + REST_MS / 1000
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # The end of one statement's.
                if pgconn.status == pq.ConnStatus.BAD:
                    raise psycopg.OperationalError("the connection is lost")
            elif result.status == pq.ExecStatus.PIPELINE_SYNC:
                return found
            elif result.status in _DONE:
                found.append(result)
            else:
                raise psycopg.DatabaseError(result.get_error_message())

    def _rows_of(self, result: PGresult) -> list[tuple[Any, ...]]:
        if result.status == pq.ExecStatus.COMMAND_OK:
            return []
        self._rows.set_pgresult(result)
        return self._rows.load_rows(0, result.ntuples, tuple)


_DONE: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
