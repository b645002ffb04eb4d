"""What following needs of an open log: reads that are awaited, and the queue of its writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Cursor
    from eventstore.log.operations import (
        ConsumerState,
        Head,
        Operation,
        Page,
        Query,
        SealedPage,
        SlowConsumers,
        StreamState,
        ToldView,
        ViewState,
        WorkerReport,
    )
    from eventstore.log.write_counts import WriteCounts
    from eventstore.system.owners import LoopGuard
    from eventstore.system.waiting import Waiting


class LogReader(Protocol):
    """Reads an open log.

    Every method raises StorageError where the database fails, StoreClosedError where the log is
    not open, and what :attr:`guard` raises.
    """

    how: Waiting
    """How coroutines wait: in an event loop, or in threads."""
    guard: LoopGuard
    """Refuses other event loops than the log's, and forked children."""

    async def page(self, query: Query) -> Page:
        """Read one page. Raises HistoryDivergedError and HistoryGoneError; see Query."""

    async def head(self) -> Head:
        """Read where the log begins and ends."""

    async def consumers(self, names: Sequence[str] | None = None) -> list[ConsumerState]:
        """Read named consumers with their checkpoints, by name: all, or those of ``names``."""

    async def slowest_consumers(self, limit: int, among: int | None) -> SlowConsumers:
        """Read those that are furthest behind, of all or of the first ``among`` by name."""

    async def views(self) -> list[ViewState]:
        """Read the table projections in the log's database, by name."""

    async def stream_states(self, prefix: str, after: str, limit: int) -> list[StreamState]:
        """Read the streams whose names begin with ``prefix`` and follow ``after``, by name."""

    async def told_views(self) -> list[ToldView]:
        """Read what the log was told of table projections in other databases, by name."""

    async def reports(self) -> list[WorkerReport]:
        """Read what workers have told of themselves, by name."""


class LogWriter(Protocol):
    """Keeps progress that can wait before it is written; callable from any thread."""

    def note(self, name: str, epoch: int, cursor: Cursor) -> None:
        """Keep a consumer's progress in memory, to be stored within 200 ms or 1,000 events."""

    def forget(self, name: str, epoch: int) -> None:
        """Drop the progress noted under this epoch."""

    def count(self) -> WriteCounts:
        """Return the counts of appends, which begin with the first call."""


class Follower(Protocol):
    """A subscription, as the change feed knows it."""

    @property
    def position(self) -> int:
        """The position that it has come to."""


class FollowedLog(LogReader, Protocol):
    """An open log as the change feed needs it."""

    newest: Cursor
    """The newest head that this process has read or written."""
    incarnation: str
    """Which copy of its history the log is; see :mod:`eventstore.storage.incarnation`."""

    @property
    def closed(self) -> bool:
        """Whether the log was closed."""

    def page_here(self, query: Query) -> Page:
        """Read one page in the calling thread, which may be any one; raise what ``page`` raises."""

    def saw(self, cursor: Cursor) -> None:
        """Take note of a head that was read, in the event loop."""

    async def sealed_page(self, query: Query) -> SealedPage:
        """Read one page as it is stored, with what its hash chain is computed from."""

    async def write(self, operation: Operation) -> Any:
        """Carry out an operation; return its outcome, once that is durable, or raise its error."""

    @property
    def writer(self) -> LogWriter:
        """The writer's queue. Raises StoreClosedError where the log is not open."""

    def check_open(self) -> None:
        """Raise StoreClosedError where the log is not open, and what ``guard`` raises."""
