"""Reads of the log that requests share: one read serves all that ask the same at the same time.

A read serves the requests that came before it began: an answer is never older than its request. Of
requests that wait for an event, all with the same filter share one subscription, wherever their
cursors are, and one read once there is an event. A client that goes away leaves the others alone.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio
import msgspec

from eventstore.errors import EventStoreError
from eventstore.server._problems import HttpError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Cursor
    from eventstore.log.operations import Page, Query

log = logging.getLogger(__name__)
T = TypeVar("T")


class _Read(Generic[T]):
    """One read, and what came of it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.page: T | None = None
        self.error: Exception = HttpError(503, "the server stops: ask again", {"retry-after": "1"})

    def result(self) -> T:
        """Return the page; raise an error of the caller's own."""
        if self.page is None:
            raise copy.copy(self.error) from self.error
        return self.page


class SharedReads(Generic[T]):
    """Reads pages by ``read``: at most one at a time for each query, and one that is to follow."""

    def __init__(self, read: Callable[[Query], Awaitable[T]]) -> None:
        self._read = read
        self._turns: dict[Query, anyio.Lock] = {}
        self._next: dict[Query, _Read[T]] = {}

    async def page(self, query: Query) -> T:
        """Return the page of a read that begins after this call. Raises what ``read`` raises."""
        if (other := self._next.get(query)) is not None:
            await other.done.wait()
            return other.result()
        own: _Read[T] = _Read()
        self._next[query] = own
        turn = self._turns.setdefault(query, anyio.Lock())
        try:
            with anyio.CancelScope(shield=True):  # Others wait for it.
                async with turn:
                    del self._next[query]
                    own.page = page = await self._read(query)
        except EventStoreError as error:
            own.error = error
            raise
        finally:
            if self._next.get(query) is own:
                del self._next[query]
            if not turn.locked():
                self._turns.pop(query, None)
            own.done.set()
        return page


class _Wait:
    """Requests that wait for the first event after ``start`` that matches one filter."""

    def __init__(self, start: Cursor) -> None:
        self.start = start
        self.scope = anyio.CancelScope()
        self.done = anyio.Event()
        self.page: Page | None = None
        self.body = b""
        self.waiting = 0


class SharedWaits:
    """Waits for events, and answers each filter's requests by one page in the form of ``encode``.

    ``subscribe`` opens a subscription for a query after a cursor.
    """

    def __init__(
        self,
        reads: SharedReads[Page],
        subscribe: Callable[[Query, Cursor], Subscription],
        encode: Callable[[Page], bytes],
    ) -> None:
        self._reads = reads
        self._subscribe = subscribe
        self._encode = encode
        self._tasks: TaskGroup | None = None
        self._waits: dict[tuple[Query, str], _Wait] = {}

    def start(self, tasks: TaskGroup) -> None:
        """Begin: subscriptions run in this task group."""
        self._tasks = tasks

    async def answer(self, query: Query, after: Cursor) -> bytes | None:
        """Return the answer once there is an event after a cursor at which a read found none.

        Where the subscription has failed, a read of the caller's own says why, or finds nothing:
        that is None.
        """
        failed = False
        while True:
            wait = None if failed else await self._join(query, after)
            found = None if wait is None else wait.page
            if wait is not None and found and found.events[0].position > after.position:
                return wait.body
            key = (_at(query, None), after.log_id)
            ahead = self._waits.get(key)
            page = await self._reads.page(_at(query, after))
            if page.events or failed:
                return self._encode(page) if page.events else None
            if ahead is not None and page.through.position < ahead.start.position:
                self._close(key, ahead)  # It began before the log was restored to an earlier state.
            failed = wait is not None and found is None
            after = page.through

    async def _join(self, query: Query, after: Cursor) -> _Wait | None:
        """Wait with the others, and return what has come; None where the caller has to read first.

        That is where they began further on: what lies between has to be read.
        """
        key = (_at(query, None), after.log_id)
        wait = self._waits.get(key)
        if wait is None:
            assert self._tasks is not None  # noqa: S101 - requests come while the server runs
            wait = self._waits[key] = _Wait(after)
            self._tasks.start_soon(self._follow, key, wait)
        elif after.position < wait.start.position:
            return None
        wait.waiting += 1
        try:
            await wait.done.wait()
        finally:
            wait.waiting -= 1
            if not wait.waiting:
                wait.scope.cancel()
                self._close(key, wait)
        return wait

    def _close(self, key: tuple[Query, str], wait: _Wait) -> None:
        """Let no other request join."""
        if self._waits.get(key) is wait:
            del self._waits[key]

    async def _follow(self, key: tuple[Query, str], wait: _Wait) -> None:
        try:
            with wait.scope:
                async with self._subscribe(key[0], wait.start) as changes:
                    event = await anext(changes)
                    # Before the read: a request that comes later may know of more than it finds.
                    self._close(key, wait)
                    before = msgspec.structs.replace(key[0], after=event.position - 1)
                    page = await self._reads.page(before)
                    if page.events:
                        wait.body = self._encode(page)
                        wait.page = page
        except Exception:
            log.debug("each request reads for itself, and meets this error", exc_info=True)
        finally:
            self._close(key, wait)
            wait.done.set()


def _at(query: Query, after: Cursor | None) -> Query:
    """Return the query for the page after a cursor; without one, what all of a filter share."""
    position = 0 if after is None else after.position
    return msgspec.structs.replace(query, after=position, expect=after, oldest=False)
