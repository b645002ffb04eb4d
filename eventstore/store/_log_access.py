"""Access to an open log: reads in threads under a limiter, writes through one writer."""

from __future__ import annotations

from contextlib import ExitStack
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.errors import StorageError, StoreClosedError
from eventstore.log.events import Cursor
from eventstore.log.spans import append_span, note_appended, note_page, read_span
from eventstore.storage.reading import read_told_views, read_views
from eventstore.storage.reports import read_reports
from eventstore.storage.sealed_pages import read_sealed_page
from eventstore.system.owners import LoopGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.events import Appended
    from eventstore.log.operations import (
        Append,
        ConsumerState,
        Head,
        Operation,
        Page,
        Query,
        Redact,
        SealedPage,
        SlowConsumers,
        StreamState,
        ToldView,
        Trim,
        ViewState,
        WorkerReport,
    )
    from eventstore.storage.protocols import MovableLog
    from eventstore.store._writer import Writer
    from eventstore.system.waiting import Waiting

T = TypeVar("T")


class State(Enum):
    """Where a log is between being named and being closed."""

    NEW = "not open yet"
    OPENING = "not open yet: it is being opened"
    OPEN = "open"
    CLOSED = "closed"


class LogAccess:
    """What the store, its change feed and its maintenance share: one backend and one writer.

    ``read_page`` reads a page of the backend, upcast where the store has upcasters. Every method
    raises StorageError where the database fails, StoreClosedError where the log is not open, and
    WrongLoopError or ForkedError where it was opened in another event loop or before a fork.
    """

    def __init__(
        self,
        backend: MovableLog,
        read_page: Callable[[Query], Page],
        writer: Writer,
        how: Waiting,
    ) -> None:
        self.how = how
        """How coroutines wait: in an event loop, or in threads."""
        self.backend = backend
        self.url = backend.url
        self.state = State.NEW
        self.guard = LoopGuard(f"the store {self.url}")
        self.newest = Cursor("", 0, b"")
        """The newest head that this process has read or written."""
        self.incarnation = ""
        """Which copy of its history the log is."""
        self._read_page = read_page
        self._writer = writer

    async def open(self, *, create: bool) -> None:
        """Open the backend in the current event loop; :attr:`state` is the caller's to set.

        Where that fails or is cancelled, nothing is left open.
        """
        self.how.start()
        self.newest = await self.how.run_to_end(
            partial(self._open_backend, create=create), self.backend.close, "eventstore-open"
        )

    def _open_backend(self, *, create: bool) -> Cursor:
        with ExitStack() as undo:
            self.backend.open(create=create)
            undo.callback(self.backend.close)
            head, self.incarnation = self.backend.identify()
            undo.pop_all()
            return head.cursor

    @property
    def closed(self) -> bool:
        """Whether the log was closed."""
        return self.state is State.CLOSED

    def check_open(self) -> None:
        """Raise what every method raises where the log is not open, or not open here."""
        self.guard.check()
        if self.state is not State.OPEN:
            raise StoreClosedError(
                f"the store {self.url} is {self.state.value}: "
                "use it inside the block of 'EventStore.open(…) as store'"
            )

    def check_thread(self) -> None:
        """Raise what :meth:`check_open` raises, for a thread that needs no event loop."""
        self.guard.check_process()
        if self.state is not State.OPEN:
            raise StoreClosedError(f"the store {self.url} is {self.state.value}")

    @property
    def writer(self) -> Writer:
        """The writer's queue."""
        self.check_open()
        return self._writer

    async def append(self, operation: Append | Redact | Trim) -> Appended:
        """Queue what appends events; return its result once it is durable."""
        appended: Appended = await self.write(operation)
        self.saw(appended.cursor)
        return appended

    def append_here(self, operation: Append) -> Appended:
        """Append in the calling thread, which has made sure that the log is open there."""
        with append_span(operation) as span:
            appended: Appended = self._writer.perform(operation)
            note_appended(span, appended)
        self.saw(appended.cursor)
        return appended

    async def write(self, operation: Operation) -> Any:
        """Queue an operation; return its outcome once it is durable, or raise its error."""
        self.check_open()
        with append_span(operation) as span:
            outcome = await self.how.outcome(self._writer, operation)
            note_appended(span, outcome)
        return outcome

    async def page(self, query: Query) -> Page:
        """Read one page. Raises HistoryDivergedError, HistoryGoneError and UpcastError."""
        with read_span(query) as span:
            page = await self.run(self._read_page, query)
            note_page(span, page)
        self.saw(page.head.cursor)
        return page

    async def sealed_page(self, query: Query) -> SealedPage:
        """Read one page as it is stored, with what its hash chain is computed from."""
        with read_span(query) as span:
            sealed: SealedPage = await self.run(self.backend.read, partial(read_sealed_page, query))
            note_page(span, sealed.page)
        self.saw(sealed.page.head.cursor)
        return sealed

    def page_here(self, query: Query) -> Page:
        """Read one page in the calling thread, which may be any one; :meth:`saw` is not called."""
        if self.closed:
            raise StoreClosedError(f"the store {self.url} is {self.state.value}")
        return self._read_page(query)

    async def head(self) -> Head:
        """Read where the log begins and ends."""
        head = await self.run(self.backend.head)
        self.saw(head.cursor)
        return head

    async def consumers(self, names: Sequence[str] | None = None) -> list[ConsumerState]:
        """Read named consumers with their checkpoints, by name: all, or those of ``names``."""
        return await self.run(self.backend.consumers, names)

    async def views(self) -> list[ViewState]:
        """Read the table projections in the log's database, by name."""
        return await self.run(self.backend.read, read_views)

    async def told_views(self) -> list[ToldView]:
        """Read what the log was told of table projections in other databases, by name."""
        return await self.run(self.backend.read, read_told_views)

    async def reports(self) -> list[WorkerReport]:
        """Read what workers have told of themselves, by name."""
        return await self.run(self.backend.read, read_reports)

    async def slowest_consumers(self, limit: int, among: int | None) -> SlowConsumers:
        """Read those that are furthest behind, of all or of the first ``among`` by name."""
        return await self.run(self.backend.slowest_consumers, limit, among)

    async def stream_states(self, prefix: str, after: str, limit: int) -> list[StreamState]:
        """Read the streams whose names begin with ``prefix`` and follow ``after``, by name."""
        return await self.run(self.backend.stream_states, prefix, after, limit)

    async def read_newest(self) -> None:
        """Read the head anew, also where it is lower than what was read before."""
        head, self.incarnation = await self.in_thread(self.backend.identify)
        self.newest = head.cursor

    def saw(self, cursor: Cursor) -> None:
        """Take note of a head that was read or written."""
        if cursor.position > self.newest.position:
            self.newest = cursor

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function(*args)`` in a thread of the store's."""
        self.check_open()
        try:
            return await self.in_thread(function, *args)
        except StorageError:
            # A connection that was closed meanwhile is no fault of the database.
            self.check_open()
            raise

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function(*args)`` in a thread, whether the log is open or not."""
        return await self.how.in_thread(function, *args)
