"""The base of the stores whose writes are events and whose reads come from a table projection.

Each store is a package of the same modules: ``model`` (its values), ``events`` (a write becomes
an event, an event is decoded), ``tables`` (the inline projection, which each append updates in
its own transaction), ``queries`` (questions asked of the tables), ``store`` (the interface that
callers know) and ``factory`` (the store that the settings choose).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import anyio

from eventstore import ANY, EventStore, NewEvent
from eventstore.errors import ConfigError, StoreClosedError
from eventstore.system.contexts import AsyncContext
from eventstore.system.owners import LoopGuard
from projections.seams.changes import Changes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore import Appended, Cursor, Event
    from eventstore.log.events import Expected
    from eventstore.log.operations import Head
    from eventstore.storage.driver import Query, ViewRows
    from eventstore.store.thread_calls import ThreadCalls
    from projections.tables.connection import Connection
    from projections.tables.projection import TableProjection

T = TypeVar("T")


FEW: Final = 400
"""Rows that an event loop may read and make values of itself: about a millisecond."""


def is_few(limit: int | None) -> bool:
    """Return whether a list of so many rows is few."""
    return limit is not None and limit <= FEW


class ProjectedStore(AsyncContext):
    """A log with an inline projection; the store opens the log where it was given a URL.

    ``log`` is a URL, or an open :class:`~eventstore.EventStore` that has ``tables`` inline,
    which the caller closes. ``by`` names the writer in each event's metadata; by default that
    is the process (``host:pid``). ``options`` are those of ``EventStore.open``, for a URL.
    """

    def __init__(
        self,
        log: EventStore | str,
        tables: TableProjection,
        *,
        by: str | None = None,
        **options: Any,
    ) -> None:
        self._given = log
        self._tables = tables
        self._by = by
        self._options = options
        self._guard = LoopGuard(f"the {tables.name} in {log if isinstance(log, str) else log.url}")
        self._opening = anyio.Lock()
        self._opened: EventStore | None = None
        self._calls: ThreadCalls | None = None
        self._seen: Cursor | None = None
        if isinstance(log, EventStore):
            if tables.name not in log.inline:
                raise ConfigError(
                    f"the store {log.url} does not keep the projection {tables.name!r}: open it "
                    f"with EventStore.open(url, inline=[{type(tables).__name__}()])"
                )
            self._opened = log
            self._on_open(log)
        else:
            EventStore.open(log, inline=[tables], **options)  # Raises for wrong arguments.

    @property
    def log(self) -> EventStore:
        """The open log; raises StoreClosedError where it is not open."""
        if self._opened is None:
            raise StoreClosedError(
                f"the {self._tables.name} in {self._given} is not open: call open() first"
            )
        return self._opened

    @property
    def _threads(self) -> ThreadCalls:
        if self._calls is None:
            self._calls = self.log.in_threads
        return self._calls

    @property
    def _dialect(self) -> str:
        return self.log.queries.dialect

    async def open(self) -> None:
        """Open the log and create its missing tables; a second call does nothing.

        Raises WrongLoopError where another event loop has opened it, ForkedError in a child.
        """
        self._guard.check()
        opened = self._opened
        if opened is not None:
            opened.check_open()
            return
        if not self._guard.bound:
            self._guard.bind()
            self._opening = anyio.Lock()
        async with self._opening:
            if self._opened is None and isinstance(self._given, str):
                self._guard.bind()  # An opening that failed meanwhile has released it.
                store = EventStore.open(self._given, inline=[self._tables], **self._options)
                try:
                    await store.__aenter__()
                except BaseException:
                    self._guard.release()
                    raise
                self._opened = store
                self._on_open(store)

    async def close(self) -> None:
        """Finish what is being written; close the log if :meth:`open` opened it."""
        self._guard.check()
        if not isinstance(self._given, str):
            return
        with anyio.CancelScope(shield=True):
            async with self._opening:
                if self._opened is not None:
                    try:
                        await self._opened.aclose()
                    finally:
                        self._opened = self._calls = None
                        self._guard.release()

    async def _enter(self) -> None:
        await self.open()

    async def _leave(self) -> None:
        await self.close()

    def _on_open(self, store: EventStore) -> None:
        """Make what needs an open log; nothing here. Called once the log is open."""

    def _event(
        self, type_: str, data: Any, *, by: str | None = None, event_id: str | None = None
    ) -> NewEvent:
        """Return an event that names its writer, with ``event_id`` as its id where given."""
        metadata = {"by": by or self._by or self.log.owner}
        return NewEvent(type_, data, id=event_id, metadata=metadata)

    async def _append(self, stream: str, *events: NewEvent, expected: Expected = ANY) -> Appended:
        return await self.log.append(stream, events, expected=expected)

    def append_here(self, stream: str, *events: NewEvent, expected: Expected = ANY) -> Appended:
        """Append in the calling thread, whichever that is."""
        return self._threads.append(stream, events, expected=expected)

    async def _query(self, function: Callable[[Connection], T]) -> T:
        """Query the tables, once they hold everything that was committed before this call."""
        result: T = await self._once_current(
            lambda goal: self.log.query(partial(self._ask, function, goal))
        )
        return result

    async def _once_current(self, ask: Callable[[int | None], Awaitable[_Answer]]) -> Any:
        """Ask until the tables are at the goal, which is the head of the first answer."""
        goal: int | None = None
        while True:
            answer = await ask(goal)
            if answer.found:
                self._seen = answer.cursor
                return answer.result
            # A process that does not keep the projection has appended.
            goal = answer.cursor.position if goal is None else goal
            await self.log.transact()

    def _ask(
        self,
        function: Callable[[Connection], Any],
        goal: int | None,
        connection: Connection,
        head: Head,
    ) -> _Answer:
        at = self._tables.position(connection)
        if at < (head.position if goal is None else goal):
            return _Answer(False, head.cursor, None)
        return _Answer(True, head.cursor, function(connection))

    async def _look(self, make: Callable[..., T], *queries: Query, brief: bool = True) -> T:
        """Return what ``make`` makes of the rows of queries, like :meth:`_query`.

        ``queries`` are SQL with ``?`` parameters and their values, which take one exchange with
        a server. ``make`` gets a list of rows for each, in the thread that reads. Unless
        ``brief`` this is never the event loop's: for what may be many rows.
        """
        result: T = await self._once_current(
            lambda goal: self.log.queries.look(
                self._tables.name, queries, partial(self._made, make, goal), brief=brief
            )
        )
        return result

    def look_here(
        self, *queries: Query, brief: bool = False
    ) -> tuple[list[list[tuple[Any, ...]]], Cursor]:
        """Return the rows of queries like :meth:`_look`, in the calling thread, and the head."""
        calls, goal = self._threads, None
        while True:
            answer = self._made(
                _as_they_are, goal, calls.look(self._tables.name, queries, brief=brief)
            )
            if answer.found:
                return answer.result, answer.cursor
            goal = answer.cursor.position if goal is None else goal
            calls.bring_up()

    def _made(self, make: Callable[..., Any], goal: int | None, rows: ViewRows) -> _Answer:
        at = self._tables.position_of(rows.version, rows.position)
        if at < (rows.head.position if goal is None else goal):
            return _Answer(False, rows.head, None)
        return _Answer(True, rows.head, make(*rows.rows))

    def _follow(
        self,
        read: Callable[[Event], T | None],
        *,
        streams: str | None,
        after: int | Cursor | None,
        **options: Any,
    ) -> Changes[T]:
        """Follow what ``read`` makes of events; by default from what this store read last."""
        start = after if after is not None else (self._seen or self.log.feed.log.newest)
        return Changes(self.log.subscribe_changes(after=start, streams=streams, **options), read)


def _as_they_are(*rows: list[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    return [*rows]


class _Answer(NamedTuple):
    found: bool
    cursor: Cursor
    result: Any
