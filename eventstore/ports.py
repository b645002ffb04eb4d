"""The small protocols that backends, notifiers and inline projections implement.

All of them are synchronous: the store calls them from threads of its own, so that one
implementation serves asyncio and trio alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec

from eventstore.errors import EventStoreError
from eventstore.events import Appended, Cursor, Event, StreamWrite

if TYPE_CHECKING:
    from pathlib import Path

Clock: TypeAlias = Callable[[], int]
"""Returns the time in microseconds since the epoch."""


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
    same snapshot: the page says which of them somebody else has opened since.
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


Operation: TypeAlias = Append | OpenConsumer | Acknowledge
Outcome: TypeAlias = Appended | ConsumerState | EventStoreError | None


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
        """Apply whole commits, in order, and store ``cursor`` with their effect."""


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
class Backend(Protocol):
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

    def write(self, group: Sequence[Operation]) -> list[Outcome]:
        """Carry out a group in one durable transaction; one outcome per operation.

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


class Notifier(Protocol):
    """Wakes followers of other processes early. A hint: it may be late, doubled or lost."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to call ``wake`` (from any thread) when the log may have grown."""

    def publish(self, position: int) -> None:
        """Tell other processes that ``position`` was committed. Never raises."""

    def close(self) -> None:
        """Stop; ``wake`` is not called any more afterwards."""

    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``: kind, whether it works, how often it woke."""
