"""The protocols that every backend implements.

They are synchronous: the store calls them from threads of its own, so that one implementation
serves asyncio and trio alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from eventstore.log.events import Cursor
    from eventstore.log.inline_view import InlineView
    from eventstore.log.operations import (
        CommitBatch,
        ConsumerState,
        Head,
        IntegrityPage,
        Operation,
        Outcome,
        Page,
        Query,
        SlowConsumers,
        StoredEvent,
        StreamState,
    )
    from eventstore.log.records import KeptRecord, Record, StreamRecord
    from eventstore.storage.driver import Query as Statement
    from eventstore.storage.driver import ViewRows
    from eventstore.storage.query_limit import QueryLimit

T = TypeVar("T")


class IntegrityReader(Protocol):
    """What verification reads. What the database cannot read is a StorageError."""

    def watch_waits(self, check: Callable[[], None]) -> None:
        """Call ``check`` while a write waits for its turn; what it raises ends the wait."""

    def head(self) -> Head:
        """Return the committed head."""

    def identify(self) -> tuple[Head, str]:
        """Return the committed head, and which copy of its history the log is.

        The second is empty where it never was a copy. From then on a write raises LogReplacedError
        once another log, or another copy, is there.
        """

    def integrity_page(self, after: int, limit: int, *, side_tables: bool = True) -> IntegrityPage:
        """Return the rows that follow ``after``, with the side tables once no more follow."""

    def kept_rows(self, after: int, limit: int) -> list[tuple[StoredEvent, bytes]]:
        """Return rows that are kept of a trimmed prefix, each with the hash before it."""

    def faults(self) -> list[tuple[str, str]]:
        """Return (where, what) of faults in the database itself: its file, its schema."""


class LockHolder(NamedTuple):
    """The holder of a named lock, with its note."""

    name: str
    owner: str
    note: str


class NamedLock(Protocol):
    """A lock with one owner at a time among all hosts; it ends with the owner's process.

    Called from one thread at a time. The lock is lost with the connection that holds it, so its
    owner calls ``check`` every few seconds.
    """

    owner: str
    """The owner as last seen; empty where none is known."""

    def try_acquire(self, owner: str) -> bool:
        """Take the lock unless another owner has it; return whether that worked.

        Raises StorageError where the database fails.
        """

    def check(self, note: str) -> None:
        """Raise StorageError once it is lost; show ``note`` beside the owner."""

    def release(self) -> None:
        """Give it up, if it is held. Raises nothing."""


@runtime_checkable
class Backend(IntegrityReader, Protocol):
    """Where a log lives.

    ``write`` is called from one thread at a time; the others from any number.
    Every method raises :class:`~eventstore.errors.StorageError` when the database fails.
    """

    url: str
    """Names the log in messages: as it was given, without a password."""
    dialect: ClassVar[str]
    """``sqlite`` or ``postgresql``, by SQLAlchemy's names."""
    path: Path | None
    """The file that the log lives in, where it is one: what a file notifier watches beside."""

    def open(self, *, create: bool = True) -> None:
        """Create or check the schema, and bring inline projections up to date.

        Without ``create`` it is NoLogError where there is no log, and nothing is left behind.
        """

    def close(self) -> None:
        """Release every connection. Called once, after the last read and write."""

    def head(self) -> Head:
        """Return the committed head."""

    def page(self, query: Query) -> Page:
        """Read one page from one snapshot of the log.

        Raises HistoryGoneError below the first position, HistoryDivergedError where
        ``expect`` is not in the log.
        """

    def query(self, function: Callable[[Any, Head], T], limit: QueryLimit) -> T:
        """Return ``function(connection, head)`` from one snapshot, which it does not change.

        Its statements are ended by ``limit``. It uses no connection that :meth:`page` waits for,
        but in memory, where there is one only.
        """

    def look(self, view: str, queries: Sequence[Statement], limit: QueryLimit) -> ViewRows:
        """Return the rows of queries on an inline projection's tables, from one snapshot.

        They are SQL of our own with ``?`` parameters. On a server all take one exchange.
        """

    def look_briefly(self, view: str, queries: Sequence[Statement]) -> ViewRows | None:
        """Return what :meth:`look` returns, without a wait; ``None`` where that takes one."""

    async def look_in_loop(
        self, view: str, queries: Sequence[Statement], seconds: float
    ) -> ViewRows | None:
        """Return what :meth:`look` returns, in an event loop, without a thread; or ``None``.

        It is ``None`` too where the database fails: a thread says why. Other tasks run meanwhile,
        where it takes longer than a millisecond. Raises QueryTimeoutError after so many seconds.
        """

    def stored(self, after: int, limit: int) -> list[StoredEvent]:
        """Return the rows that follow ``after``, in position order, from one snapshot.

        At most ``limit`` of them, and fewer where their content is large; none only at the
        end of the log. They come as they are, neither lifted nor checked.
        """

    def write(
        self, group: Sequence[Operation], tell: Callable[[CommitBatch], None] | None = None
    ) -> list[Outcome]:
        """Carry out a group in one durable transaction; one outcome per operation.

        Where ``tell`` is given it is called, after the commit, with what was appended.

        An operation that conflicts is an error *value* and leaves the others alone. An
        exception means that nothing of the group was stored, or, if it was raised by the
        commit itself, that the outcome is unknown.
        """

    def consumers(self, names: Sequence[str] | None = None) -> list[ConsumerState]:
        """Return named consumers, by name: all of them, or those of ``names`` that are known."""

    def slowest_consumers(self, limit: int, among: int | None) -> SlowConsumers:
        """Return ``limit`` that are furthest behind, of all or of the first ``among`` by name."""

    def stream_states(self, prefix: str, after: str, limit: int) -> list[StreamState]:
        """Return the streams whose names begin with ``prefix`` and follow ``after``, by name."""

    def read(self, function: Callable[[Any], T]) -> T:
        """Return what ``function(driver)`` reads in a snapshot, by statements of the driver."""

    def build_view(self, view: InlineView, tell: Callable[[int], None]) -> bool:
        """Build a version of a projection beside the live one, up to the head; do not swap it.

        ``tell`` is called with how many events are left. Returns False where the live version is no
        older one. Called from any thread; ends between two steps where its task is cancelled.
        """

    def swap_view(self, view: InlineView, wait: float | None) -> bool:
        """Put a version in the live one's place; return False where that is no older one.

        Raises ProjectionHeldError where readers hold that for ``wait`` seconds.
        """

    @property
    def skipped(self) -> Mapping[str, int]:
        """Inline projections that appends go on without, with the newer version of their tables."""

    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``: kind, version, location, sizes in bytes."""

    def named_lock(self, name: str) -> NamedLock | None:
        """Return a lock that all hosts share; ``None`` where the log is on one host only."""

    def named_locks(self) -> list[LockHolder]:
        """Return each of these locks that is held now, by name."""


@runtime_checkable
class Portable(Protocol):
    """What exports, imports, trims and backups need of a backend.

    Pages hold at most ``limit`` items and some megabytes. Every method raises StorageError
    where the database fails.
    """

    def outline(self) -> tuple[Head, list[ConsumerState]]:
        """Return the head and all consumers as of one moment."""

    def streams(self, after: int, until: int, limit: int) -> list[tuple[int, StreamRecord]]:
        """Return streams by number, after a number, with their versions at a position."""

    def kept(self, after: int, limit: int) -> list[KeptRecord]:
        """Return the events that trimming has kept, by position, after a position."""

    def load(self, records: Iterable[Record]) -> Head:
        """Fill an empty log with an export's records, in one durable transaction.

        The first one is a LogRecord. What ``records`` raises leaves the log empty.
        Raises NotEmptyError where there are events, streams or consumers.
        """

    def cut(self, before: int | None, before_us: int | None) -> Cursor:
        """Return the end of the last commit that lies wholly before a position, or a time.

        That of the last event before the first position where there is none.
        """

    def check_held(self, last: int, served: Collection[str], forgone: Collection[str]) -> None:
        """Raise HistoryHeldError where a consumer, or a projection of others, lacks events.

        These are the events up to ``last``, which the ``served`` projections do not need. A trim
        brings a projection of this store up itself. Raises ViewNotKeptError for a view that is
        neither served nor ``forgone``.
        """

    def renew_incarnation(self) -> str:
        """Give this log a new incarnation, and return it."""

    def now(self) -> int:
        """Return the time of the log's clock, in microseconds since the epoch."""

    def hashes(self, positions: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the chain's hash at events of the log or kept ones, by position."""

    def backup(self, target: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Copy the database's file as of one moment; return the position it is at.

        Without ``replace`` NotEmptyError says that ``target`` exists, also if it appeared while
        the copy was made; that file is left as it is. Raises
        ConfigError, naming what to use instead, where the log is no file.
        """

    def open_copy(self, copy: Path) -> MovableLog | None:
        """Return an open log that only reads a backup, to be verified and closed.

        ``None`` for one with an older schema. Raises StorageError where it is no event log.
        """

    def restore(self, copy: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Put such a copy in this log's place; called while it is not open."""


class MovableLog(Backend, Portable, Protocol):
    """What every backend is: a log, and what moves logs."""
