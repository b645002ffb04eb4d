"""Reads whose answers the event loop that asks waits for itself.

To hand a question to a thread and to take the answer takes an event loop longer than a server on
the same host needs for it. So here the loop waits for the socket, on connections of its own. What
goes wrong is not told: such a read is asked again in a thread, which repeats what met a lost
connection, and says what has happened.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import psycopg

from eventstore.storage.beside_head import may_be_beside
from eventstore.storage.postgres._prepared import PreparedStatements, encode
from eventstore.storage.postgres._replaced_tables import LEDGER
from eventstore.storage.postgres._view_rows import ask_view, read_view
from eventstore.storage.postgres.connection import CANCEL_SECONDS
from eventstore.storage.postgres.watchdog import shut_down

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.storage.driver import Query, ViewRows
    from eventstore.storage.postgres._prepared import Encoded
    from eventstore.storage.postgres.connection import Session
    from eventstore.storage.query_limit import QueryLimit

log = logging.getLogger(__name__)

MOST: Final = 4
"""Reads at once, each on a connection of its own, which stays open; more are left to threads."""

BEGIN: Final[Encoded] = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", [], [])
COMMIT: Final[Encoded] = ("COMMIT", [], [])

_SETTINGS: Final = """SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = on; SET enable_seqscan = off; SET jit = off"""
"""Of a session. What is short is found by an index; a server that has not counted a small table
plans to read all of it, once for each row that it looks up there."""

_TABLES: Final = (
    "SELECT p.version, pg_catalog.quote_ident(t.table_name) FROM projection p "  # noqa: S608
    f"JOIN {LEDGER} t ON t.projection = p.name "
    "WHERE p.name = ? AND t.table_name <> '' ORDER BY t.table_name"
)


class LoopReads:
    """Connections on which one event loop reads.

    ``connect`` connects, and is called in a thread. :meth:`look` is called in the loop only,
    :meth:`close` in any thread.
    """

    def __init__(self, connect: Callable[[], Session]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._count = 0
        self._idle: list[PreparedStatements] = []
        self._running: set[PreparedStatements] = set()
        self._ending: set[threading.Thread] = set()
        self._closed = False
        self._threads: anyio.CapacityLimiter | None = None
        self._tables: dict[str, tuple[int, Encoded]] = {}

    async def look(self, view: str, queries: Sequence[Query], limit: QueryLimit) -> ViewRows | None:
        """Return the rows of queries, with head and checkpoint; ``None`` to ask in a thread.

        Raises QueryTimeoutError.
        """
        with anyio.move_on_after(limit.left):
            return await self._look(view, queries)
        raise limit.timeout()

    async def _look(self, view: str, queries: Sequence[Query]) -> ViewRows | None:
        one = await self._take()
        if one is None:
            return None
        try:
            found = await self._ask(one, view, queries)
        except (psycopg.Error, OSError, LookupError) as error:
            log.debug("a read is asked again in a thread: %s", error)
            self._drop(one)
            return None
        except BaseException:  # The caller is cancelled, or it takes too long.
            self._drop(one, running=True)
            raise
        self._give_back(one)
        return found

    async def _ask(
        self, one: PreparedStatements, view: str, queries: Sequence[Query]
    ) -> ViewRows | None:
        asked = [encode(query) for query in ask_view(one.session, view, queries)]
        encoded = [query for query in asked if query is not None]
        if len(encoded) < len(asked):
            return None
        if len(queries) == 1 and may_be_beside(queries[0]):
            # A statement locks its tables before it takes its snapshot.
            return read_view(one.session, queries, await one.ask(encoded))
        known = self._tables.get(view) or await self._find_tables(one, view)
        if known is None:
            return None
        version, lock = known
        found = await one.ask([BEGIN, lock, *encoded, COMMIT])
        rows = read_view(one.session, queries, found[2:-1])
        if rows.version == version:
            return rows
        self._tables.pop(view, None)  # Others may belong to it by now.
        return None

    async def _find_tables(self, one: PreparedStatements, view: str) -> tuple[int, Encoded] | None:
        """Find a view's version, and what locks its tables for readers; ``None`` without any.

        The server looks up the name of a table at each statement, and not as of the snapshot. A
        lock before the first snapshot keeps a new version from taking their place.
        """
        schema = one.session.schema
        (found,) = await one.ask([(_TABLES, [view.encode()], [1])])
        if not found:
            return None
        names = ", ".join(f"{schema}.{name}" if schema else name for _, name in found)
        lock: Encoded = f"LOCK TABLE {names} IN ACCESS SHARE MODE", [], []
        self._tables[view] = found[0][0], lock
        return self._tables[view]

    async def _take(self) -> PreparedStatements | None:
        """Return a connection that is free, or a new one; ``None`` where there is none."""
        if not self._idle:
            if self._count >= MOST:
                return None
            self._threads = self._threads or anyio.CapacityLimiter(MOST)
            await anyio.to_thread.run_sync(self._add, limiter=self._threads)
        with self._lock:
            if self._closed or not self._idle:
                return None
            one = self._idle.pop()
            self._running.add(one)
            return one

    def _add(self) -> None:
        """Connect; the connection is there also for others, where the caller has gone."""
        with self._lock:
            if self._closed or self._count >= MOST:
                return
            self._count += 1
        try:
            one = self._connected()
        except BaseException as error:
            with self._lock:
                self._count -= 1
            if not isinstance(error, psycopg.Error | OSError):
                raise
            log.debug("no connection for reads of an event loop: %s", error)
            return
        self._keep(one)

    def _connected(self) -> PreparedStatements:
        session = self._connect()
        try:
            session.execute(_SETTINGS)
            return PreparedStatements(session)
        except BaseException:
            session.close()
            raise

    def _give_back(self, one: PreparedStatements) -> None:
        if one.full:
            self._drop(one)
        else:
            self._keep(one)

    def _keep(self, one: PreparedStatements) -> None:
        with self._lock:
            self._running.discard(one)
            if not self._closed:
                self._idle.append(one)
                return
        one.session.close()

    def _drop(self, one: PreparedStatements, *, running: bool = False) -> None:
        """Close a connection; where its statement may be running, end that in the server first."""
        with self._lock:
            self._running.discard(one)
            self._count -= 1
            if running:
                end = threading.Thread(target=self._end, args=(one,), name="eventstore-read-end")
                end.daemon = True
                self._ending.add(end)
                end.start()
                return
        one.session.close()

    def _end(self, one: PreparedStatements) -> None:
        with suppress(psycopg.Error, OSError):
            one.session.cancel_safe(timeout=CANCEL_SECONDS)
        one.session.close()
        with self._lock:
            self._ending.discard(threading.current_thread())

    def close(self) -> None:
        """Close what is free, and end what is read; that is left to threads, which say so."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            running = list(self._running)
            ending = list(self._ending)
        for one in idle:
            one.session.close()
        for one in running:
            with suppress(psycopg.Error, OSError):
                one.session.cancel_safe(timeout=CANCEL_SECONDS)
        with self._lock:
            for one in self._running:
                shut_down(one.session.fileno())
        for thread in ending:
            thread.join(CANCEL_SECONDS)
