"""The small protocols that backends, notifiers and inline projections implement.

All of them are synchronous: the store calls them from threads of its own, so that one
implementation serves asyncio and trio alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    NamedTuple,
    Protocol,
    TypeAlias,
    TypeGuard,
    TypeVar,
    runtime_checkable,
)

import msgspec

from eventstore.errors import EventStoreError
from eventstore.events import Appended, Cursor, Event, StreamWrite

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.records import KeptRecord, Record, StreamRecord

T = TypeVar("T")

TRIMS: Final = "log/trims"
"""The stream that records each trim and names its archive."""

Clock: TypeAlias = Callable[[], int]
"""Returns the time in microseconds since the epoch."""


def system_clock() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


class Head(msgspec.Struct, frozen=True):
    """The log's head row: where it begins and ends, and the chain's hash at the end."""

    log_id: str
    first_position: int
    position: int
    recorded_us: int
    hash: bytes
    base_hash: bytes | None = None
    """The chain's hash before the first position; ``None`` where nothing was trimmed."""

    @property
    def cursor(self) -> Cursor:
        """The cursor of a follower that has seen everything."""
        return Cursor(self.log_id, self.position, self.hash)


class Query(msgspec.Struct, frozen=True):
    """One page of a read: matching events in ``(after, until]``, in position order.

    ``until=None`` is the head. ``streams`` is a category where it ends in ``/``, one exact
    name otherwise; ``after_version`` narrows the latter. With ``expect`` the page is read
    only if the log still has that cursor. ``consumers`` (name, epoch) are looked up in the
    same snapshot: the page says which of them somebody else has opened since. With ``kept`` a
    read that begins below the first position starts with the events that trimming has kept;
    their positions have holes.
    """

    after: int = 0
    until: int | None = None
    after_version: int = 0
    streams: str | None = None
    types: tuple[str, ...] | None = None
    backwards: bool = False
    limit: int = 1024
    whole_commits: bool = False
    expect: Cursor | None = None
    consumers: tuple[tuple[str, int], ...] = ()
    kept: bool = False


class Page(msgspec.Struct, frozen=True):
    """Events of a page, and how far the log has been searched for them.

    ``through`` is the cursor up to which (backwards: ``floor`` is the position down to
    which) every matching event is in this page or an earlier one. For a page of whole
    commits, ``ends`` gives the chain's hash at the end of each commit whose last event
    does not match.
    """

    events: Sequence[Event]
    through: Cursor
    head: Head
    floor: int = 0
    ends: Mapping[int, bytes] = {}
    lost: Mapping[tuple[str, int], str] = {}
    """Those of the query's consumers that are lost, with who owns the name now."""


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event's row as a whole: the event, and what the hash chain needs of its content.

    ``salt`` is ``None`` once the event was redacted. Nothing is checked: in a database that
    was tampered with, any field may hold anything.
    """

    event: Event
    """Its ``stream`` is empty where the row names a stream that is not there."""
    salt: bytes | None
    digest: bytes


class Books(msgspec.Struct, frozen=True):
    """What a log keeps beside its events, read in the snapshot of the last of them.

    ``streams`` are rows of id, name and version. ``faults`` are (where, what) of everything
    that the backend can judge itself: cursors of another history, and the like.
    """

    streams: Sequence[tuple[Any, ...]]
    faults: Sequence[tuple[str, str]]


class Audited(msgspec.Struct, frozen=True):
    """A page of rows as they are; with the last one of the log, ``ended``, come the books."""

    head: Head
    rows: Sequence[StoredEvent]
    ended: bool
    books: Books | None


class ConsumerState(msgspec.Struct, frozen=True):
    """A named follower as the log remembers it. Times are microseconds since the epoch."""

    name: str
    cursor: Cursor
    epoch: int
    owner: str
    seen_us: int


@dataclass(frozen=True, slots=True)
class Append:
    """Append events to streams, atomically. The result is an :class:`Appended`."""

    writes: Sequence[StreamWrite]
    events: int
    size: int


@dataclass(frozen=True, slots=True)
class OpenConsumer:
    """Own a named consumer, creating it at ``start``. The result is a ConsumerState."""

    name: str
    owner: str
    start: Cursor


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Store how far a consumer has come; the result is None, or TakenOverError."""

    name: str
    epoch: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class Trim:
    """Take away the events up to ``cut``, all but those at the positions to ``keep``.

    ``first_position`` is the log's as this was decided; ``notice`` is the append that
    records it, in the same commit. Without ``force`` a consumer that has not reached the
    cut is a HistoryHeldError. The result is the notice's Appended.
    """

    cut: Cursor
    first_position: int
    keep: Sequence[int]
    force: bool
    notice: Append


@dataclass(frozen=True, slots=True)
class Redact:
    """Erase the content of the event at ``position``.

    The result is the Appended of the event that says so, ``duplicate`` where it had been
    erased before.
    """

    position: int
    reason: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Tend:
    """Call ``function`` with the transaction's connection, all inline views being at the head.

    For what is kept beside the log, such as access times; it may be called twice where a
    connection was lost. The result is None; where it raises nothing is stored.
    """

    function: Callable[[Any], None]


Operation: TypeAlias = Append | OpenConsumer | Acknowledge | Trim | Redact | Tend
Outcome: TypeAlias = Appended | ConsumerState | EventStoreError | None


class News(msgspec.Struct, frozen=True):
    """What one transaction appended: whole commits, and the cursor just before them."""

    previous: Cursor
    events: tuple[Event, ...]

    @property
    def position(self) -> int:
        """The last of the events' positions."""
        return self.events[-1].position


class Wake(Protocol):
    """What a notifier calls, from any thread, when the log may have grown."""

    def __call__(self, position: int | None = None, news: News | None = None) -> None:
        """Wake the followers.

        ``position`` is how far the log is said to have come, ``None`` where that is not
        known; ``news`` is what was appended, where the notifier vouches for it.
        """


@runtime_checkable
class InlineProjection(Protocol):
    """A view that is updated inside the append's own transaction.

    ``connection`` is whatever the backend's transaction is made of (an SQLAlchemy
    ``Connection`` on the SQL backends). An exception fails the append that caused it.
    """

    name: str

    def setup(self, connection: Any) -> None:
        """Create what the view needs, if it is not there. Called at every open."""

    def cursor(self, connection: Any) -> Cursor | None:
        """Return how far the view has come, or ``None`` where it has seen nothing."""

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, in order, and store ``cursor`` with their effect.

        A view that holds content of an event which was redacted since (see
        :mod:`eventstore.redaction`), and cannot take it out, may instead go back to having
        seen nothing: where its ``cursor`` is then ``None``, it is given the log from the first
        event, in the same transaction.
        """


class Auditable(Protocol):
    """What verification reads. Whatever the database cannot read is a StorageError."""

    def head(self) -> Head:
        """Return the committed head."""

    def audit(self, after: int, limit: int, *, books: bool = True) -> Audited:
        """Return the rows that follow ``after``, with the books once no more follow."""

    def audit_kept(self, after: int, limit: int) -> list[tuple[StoredEvent, bytes]]:
        """Return rows that are kept of a trimmed prefix, each with the hash before it."""

    def faults(self) -> list[tuple[str, str]]:
        """Return (where, what) of faults in the database itself: its file, its schema."""


class LockHolder(NamedTuple):
    """Who holds a named lock, and what they note about it."""

    name: str
    owner: str
    note: str


class NamedLock(Protocol):
    """One owner at a time, on whatever host; it ends with the owner's process.

    Called from one thread at a time. The lock is lost with the connection that holds it:
    who owns it calls ``check`` every few seconds.
    """

    owner: str
    """Who has it, as last seen; empty where nobody is known to."""

    def try_acquire(self, owner: str) -> bool:
        """Take it unless somebody else has it; say whether that worked.

        Raises StorageError where the database fails.
        """

    def check(self, note: str) -> None:
        """Raise StorageError once it is lost; show ``note`` beside the owner."""

    def release(self) -> None:
        """Give it up, if it is held. Raises nothing."""


@runtime_checkable
class SnapshotProjection(InlineProjection, Protocol):
    """A view that may begin with what trimming has kept, because it says so."""

    from_snapshot: bool
    """Whether the events that trimming keeps, and those since, give the same view."""

    def reset(self, connection: Any) -> None:
        """Empty the view, as if no event had been applied."""


def can_start_from_kept(projection: InlineProjection) -> TypeGuard[SnapshotProjection]:
    """Whether a view can be computed from what trimming has kept and the rest of the log."""
    return isinstance(projection, SnapshotProjection) and projection.from_snapshot


def archive_advice(view: str) -> str:
    """Say what brings back a view that needs events which were trimmed."""
    return (
        f"view {view!r} needs them: import the archives that the stream {TRIMS!r} names into "
        "new logs, compute the view from those in turn, and go on here"
    )


@runtime_checkable
class Backend(Auditable, Protocol):
    """Where a log lives.

    ``write`` is called from one thread at a time; the others from any number.
    Every method raises :class:`~eventstore.errors.StorageError` when the database fails.
    """

    url: str
    """Names the log in messages: as it was given, without a password."""
    path: Path | None
    """The file that the log lives in, where it is one: what a file notifier watches beside."""

    def open(self) -> None:
        """Create or check the schema, and bring inline projections up to date."""

    def close(self) -> None:
        """Release every connection. Called once, after the last read and write."""

    def head(self) -> Head:
        """Return the committed head."""

    def page(self, query: Query) -> Page:
        """Read one page from one snapshot of the log.

        Raises HistoryGoneError below the first position, HistoryDivergedError where
        ``expect`` is not in the log.
        """

    def query(self, function: Callable[[Any, Head], T]) -> T:
        """Return ``function(connection, head)`` from one snapshot, which it does not change."""

    def stored(self, after: int, limit: int) -> list[StoredEvent]:
        """Return the rows that follow ``after``, in position order, from one snapshot.

        At most ``limit`` of them, and fewer where their content is large; none only at the
        end of the log. They come as they are, neither lifted nor checked.
        """

    def write(
        self, group: Sequence[Operation], tell: Callable[[News], None] | None = None
    ) -> list[Outcome]:
        """Carry out a group in one durable transaction; one outcome per operation.

        Where ``tell`` is given it is called, after the commit, with what was appended.

        An operation that conflicts is an error *value* and leaves the others alone. An
        exception means that nothing of the group was stored, or, if it was raised by the
        commit itself, that the outcome is unknown.
        """

    def consumers(self) -> list[ConsumerState]:
        """Return every named consumer, by name."""

    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``: kind, version, location, sizes in bytes."""

    def named_lock(self, name: str) -> NamedLock | None:
        """Return a lock that all hosts share; ``None`` where the log is on one host only."""

    def named_locks(self) -> list[LockHolder]:
        """Return each of these locks that somebody holds now, by name."""


@runtime_checkable
class Portable(Protocol):
    """What a backend gives to those who move a whole log, or cut its beginning off.

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

        The first one is a LogRecord. Whatever ``records`` raises leaves the log empty.
        Raises NotEmptyError where there are events, streams or consumers.
        """

    def cut(self, before: int | None, before_us: int | None) -> Cursor:
        """Return the end of the last commit that lies wholly before a position, or a time.

        That of the last event before the first position where there is none.
        """

    def hashes(self, positions: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the chain's hash at events of the log or kept ones, by position."""

    def backup(self, target: Path, progress: Callable[[int, int], None]) -> int:
        """Copy the database's file as of one moment; return the position it is at.

        Raises ConfigError, naming what to use instead, where the log is no file.
        """

    def restore(self, copy: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Put such a copy in this log's place; called while it is not open."""


class MovableLog(Backend, Portable, Protocol):
    """What every backend is: a log, and what moves logs."""


class Notifier(Protocol):
    """Wakes followers of other processes early. A hint: it may be late, doubled or lost."""

    carries_news: bool
    """Whether ``publish`` has a use for what was appended."""

    def start(self, log_id: str, wake: Wake) -> None:
        """Begin to call ``wake`` when that log may have grown."""

    def publish(self, log_id: str, position: int, news: News | None) -> None:
        """Tell other processes that ``position`` was committed. Never waits, never raises."""

    def confirm(self, log_id: str, position: int) -> None:
        """Tell who follows in other processes that a look found the log at ``position``.

        Spares them a look of their own. Never waits, never raises, and may do nothing.
        """

    def close(self) -> None:
        """Stop; ``wake`` is not called any more afterwards."""

    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``: kind, whether it works, how often it woke."""
