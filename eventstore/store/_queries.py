"""Queries of a store's callers: few at once, in threads and on connections of their own."""

from __future__ import annotations

from inspect import iscoroutine
from threading import Semaphore
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.errors import InvalidInputError, StorageError
from eventstore.limits import QUERY_SECONDS, QUERY_THREADS
from eventstore.log.validation import check_seconds
from eventstore.storage.query_limit import QueryLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.operations import Head
    from eventstore.storage.driver import Query as Statement
    from eventstore.storage.driver import ViewRows
    from eventstore.store._log_access import LogAccess

T = TypeVar("T")


class Queries:
    """Runs callers' functions on a snapshot of the log, each within a time limit."""

    def __init__(self, log: LogAccess) -> None:
        self._log = log
        self._running: set[QueryLimit] = set()
        self._threads = Semaphore(QUERY_THREADS)

    async def run(self, function: Callable[[Any, Head], T], timeout: float) -> T:
        """Return ``function(connection, head)``; see :meth:`eventstore.EventStore.query`."""

        def ask(limit: QueryLimit) -> T:
            result = self._log.backend.query(function, limit)
            if iscoroutine(result):
                result.close()
                raise InvalidInputError("the function of a query", "is async: give a plain one")
            return result

        check_seconds("timeout", timeout)
        return await self._run(ask, timeout)

    @property
    def dialect(self) -> str:
        """The log's database, by SQLAlchemy's name of its SQL."""
        return self._log.backend.dialect

    async def look(
        self,
        view: str,
        queries: Sequence[Statement],
        make: Callable[[ViewRows], T],
        timeout: float = QUERY_SECONDS,
        *,
        brief: bool = False,
    ) -> T:
        """Return what ``make`` makes, in the thread that reads, of an inline projection's rows.

        ``queries`` are SQL with ``?`` parameters and their values, all of one snapshot. Those of
        which little is expected are ``brief``: an event loop asks them itself where it need not
        wait.
        """
        backend = self._log.backend
        self._log.check_open()  # Before the first wait: that needs the store's own event loop.
        if brief and self._log.how.in_loop:
            rows = await backend.look_in_loop(view, queries, timeout)
            if rows is not None:
                return make(rows)
        return await self._run(lambda limit: make(backend.look(view, queries, limit)), timeout)

    def look_here(
        self, view: str, queries: Sequence[Statement], *, brief: bool = False
    ) -> ViewRows:
        """Return rows as :meth:`look` reads them, in the calling thread, whichever that is."""
        log = self._log
        log.check_thread()
        if brief and (rows := log.backend.look_briefly(view, queries)) is not None:
            return rows
        return self._run_here(lambda limit: log.backend.look(view, queries, limit))

    def run_here(self, function: Callable[[Any, Head], T]) -> T:
        """Return ``function(connection, head)`` in the calling thread, whichever that is."""
        self._log.check_thread()
        return self._run_here(lambda limit: self._log.backend.query(function, limit))

    def _run_here(self, query: Callable[[QueryLimit], T]) -> T:
        log = self._log
        limit = QueryLimit(log.url, QUERY_SECONDS)
        self._running.add(limit)
        try:
            if not self._threads.acquire(timeout=QUERY_SECONDS):
                raise limit.timeout()
            try:
                return query(limit)
            finally:
                self._threads.release()
        except StorageError:
            log.check_thread()
            raise
        finally:
            self._running.discard(limit)

    async def _run(self, query: Callable[[QueryLimit], T], timeout: float) -> T:
        log, began = self._log, False
        log.check_open()
        limit = QueryLimit(log.url, timeout)

        def ask() -> T:
            nonlocal began
            began = True
            return query(limit)

        self._running.add(limit)
        try:
            return await log.how.in_query_thread(ask, timeout)
        except TimeoutError as error:
            if began:  # The function's own error.
                raise
            log.check_open()
            raise limit.timeout() from error
        except StorageError:
            # A connection that was closed meanwhile is no fault of the database.
            log.check_open()
            raise
        finally:
            # Asyncio's own cancellation leaves the thread behind.
            limit.end()
            self._running.discard(limit)

    def end(self) -> None:
        """End the queries under way: the store closes. Callable from any thread."""
        for limit in list(self._running):
            limit.end()
