"""Requests to a log and their results: queries and pages, operations and outcomes.

Plain values without I/O. A backend carries them out; see :mod:`eventstore.storage.protocols`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from eventstore.errors import ConsumerRemovedError, EventStoreError, TakenOverError
from eventstore.log.events import Appended, Cursor, Event, StreamWrite

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

REMOVED: Final = "a removal of the consumer"
"""Stands for the new owner of a consumer that was removed."""

TRIMS: Final = "log/trims"
"""The stream that records each trim and names its archive."""


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
        """The cursor of the last event."""
        return Cursor(self.log_id, self.position, self.hash)


class Query(msgspec.Struct, frozen=True):
    """One page of a read: matching events in ``(after, until]``, in position order.

    ``until=None`` is the head. ``streams`` is a category where it ends in ``/``, one exact
    name otherwise; ``after_version`` narrows the latter. With ``expect`` the page is read
    only if the log still has that cursor, and raises HistoryDivergedError otherwise.
    ``consumers`` (name, epoch) are looked up in the same snapshot: the page gives those whose
    names have been opened since under a later epoch. With ``kept`` a read that begins below the
    first position starts with the events that trimming has kept, whose positions have holes;
    without it such a read raises HistoryGoneError. ``oldest`` stands in for ``after``: before
    the oldest event that is there, of the kept ones with ``kept``.

    ``exclude_streams`` are categories and names like ``streams``; what they or ``exclude_types``
    name does not match. With ``in_metadata`` only events whose metadata, as JSON, holds these bytes
    match; a log behind a server gives the others too.
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
    oldest: bool = False
    exclude_streams: tuple[str, ...] = ()
    exclude_types: tuple[str, ...] = ()
    in_metadata: bytes = b""

    @property
    def filtered(self) -> bool:
        """Whether some events may not match."""
        names = self.streams is not None or self.types is not None
        return names or bool(self.exclude_streams or self.exclude_types or self.in_metadata)

    def matches(self, event: Event) -> bool:
        """Whether an event is of the streams and types, with the metadata, that are asked for."""
        if self.in_metadata and self.in_metadata not in (event.raw_metadata or b""):
            return False
        if self.types is not None and event.type not in self.types:
            return False
        if event.type in self.exclude_types:
            return False
        if any(_covers(excluded, event.stream) for excluded in self.exclude_streams):
            return False
        return self.streams is None or _covers(self.streams, event.stream)


def _covers(streams: str, stream: str) -> bool:
    """Whether a stream is of a category, which ends in ``/``, or has exactly this name."""
    return stream.startswith(streams) if streams.endswith("/") else stream == streams


class Page(msgspec.Struct, frozen=True):
    """The events of a page, and how far the log was searched for them.

    Every matching event up to the cursor ``through`` (backwards: down to the position
    ``floor``) is in this page or an earlier one. In a page of whole commits ``ends`` gives the
    chain's hash at the end of each commit whose last event does not match.
    """

    events: Sequence[Event]
    through: Cursor
    head: Head
    floor: int = 0
    ends: Mapping[int, bytes] = {}
    lost: Mapping[tuple[str, int], str] = {}
    """Those of the query's consumers (name, epoch) that have a new owner, with its name."""


Seal: TypeAlias = "tuple[bytes, bytes]"
"""An event's salt, empty where the event was redacted, and the digest of its content."""


class SealedPage(NamedTuple):
    """A page as it is stored, with what its hash chain is computed from.

    ``before`` is the chain's hash before the first event. ``seals`` has one for each event of a
    page that is whole (:func:`is_whole`), and none for another one.
    """

    page: Page
    before: bytes
    seals: list[Seal]


def is_whole(query: Query, head: Head) -> bool:
    """Whether a page has every event of its range: forwards, unfiltered, above what was trimmed."""
    after = start_of(query, head)
    return not (query.filtered or query.backwards) and after >= head.first_position - 1


def start_of(query: Query, head: Head) -> int:
    """Return the position after which a query forwards begins, as the head says."""
    oldest = 0 if query.kept else head.first_position - 1
    return oldest if query.oldest else query.after


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """An event's row as a whole: the event, and what the hash chain needs of its content.

    ``salt`` is ``None`` once the event was redacted. Nothing is checked: in a database that
    was tampered with, any field may hold anything.
    """

    event: Event
    """Its ``stream`` is empty where the row names a stream that is not there."""
    salt: bytes | None
    digest: bytes


class SideTables(msgspec.Struct, frozen=True):
    """What a log keeps beside its events, read in the snapshot of the last of them.

    ``streams`` are rows of id, name and version. ``faults`` are (where, what) of everything
    that the backend can judge itself: cursors of another history, and the like.
    """

    streams: Sequence[tuple[Any, ...]]
    faults: Sequence[tuple[str, str]]


class IntegrityPage(msgspec.Struct, frozen=True):
    """A page of rows as they are; with the last one of the log, ``ended``, come the side tables."""

    head: Head
    rows: Sequence[StoredEvent]
    ended: bool
    side_tables: SideTables | None


class ViewState(msgspec.Struct, frozen=True):
    """A table projection: how far it has come, and where it has failed."""

    name: str
    version: int
    position: int
    failed_at: int | None = None
    """The event that a runner could not apply, until it has got past it."""
    reason: str | None = None
    failed_us: int | None = None
    followed: bool = False
    """Whether a runner has owned it; of an inline projection none has."""
    place: str = ""
    """The other database that it is in, without a password; empty for the log's own."""


class ToldView(msgspec.Struct, frozen=True):
    """A table projection in another database, as its runner has told the log of it."""

    name: str
    told_us: int
    facts: str
    """What the runner has told, as JSON; see :mod:`projections.elsewhere`."""


class ConsumerState(msgspec.Struct, frozen=True):
    """A consumer as the log stores it. ``seen_us`` is in microseconds since the epoch."""

    name: str
    cursor: Cursor
    epoch: int
    owner: str
    seen_us: int


class WorkerReport(msgspec.Struct, frozen=True):
    """What a worker has told of itself, as text, and when, in microseconds since the epoch."""

    name: str
    told_us: int
    report: str


class SlowConsumers(NamedTuple):
    """The consumers that are furthest behind, of ``number``; ``more`` if others were left out."""

    number: int
    more: bool
    states: list[ConsumerState]


class StreamState(msgspec.Struct, frozen=True):
    """A stream as it is now: its version, and its last event as far as that is still kept.

    ``recorded_us`` is in microseconds since the epoch; what was trimmed has ``None``.
    """

    name: str
    version: int
    position: int | None
    type: str | None
    recorded_us: int | None


class Append(msgspec.Struct, frozen=True):
    """Append events to streams, atomically. The result is an :class:`Appended`."""

    writes: Sequence[StreamWrite]
    events: int
    size: int


@dataclass(frozen=True, slots=True)
class OpenConsumer:
    """Own a named consumer, creating it at ``start``. The result is a ConsumerState.

    Without ``start`` a name that is not known is UnknownConsumerError.
    """

    name: str
    owner: str
    start: Cursor | None


@dataclass(slots=True)
class RemoveConsumer:
    """Remove a named consumer. The result is its last ConsumerState, or UnknownConsumerError.

    ``removed`` is what an attempt has removed whose answer was lost: a second one returns it.
    """

    name: str
    removed: ConsumerState | None = None


@dataclass(frozen=True, slots=True)
class RewindConsumer:
    """Move a named consumer back and give it a new owner. The result is its ConsumerState.

    UnknownConsumerError, InvalidInputError where ``to`` lies ahead, HistoryGoneError where it was
    trimmed, HistoryDivergedError for a Cursor of another history.
    """

    name: str
    to: int | Cursor
    owner: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Store a consumer's checkpoint. The result is None, or TakenOverError."""

    name: str
    epoch: int
    cursor: Cursor


@dataclass(frozen=True, slots=True)
class StoreReport:
    """Store what a worker tells of itself, in the place of what it told before."""

    name: str
    report: str


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """Remove what a worker has told, if it has."""

    name: str


@dataclass(frozen=True, slots=True)
class Trim:
    """Remove the events up to ``cut``, except those at the positions to ``keep``.

    ``first_position`` is the log's when this was decided; ``notice`` is the append that
    records it, in the same transaction. Without ``force`` a consumer that has not reached the
    cut raises HistoryHeldError, and so does a projection that is not among the ``served``: those
    that can be computed from what is kept. A view that is neither among them nor among the
    ``forgone`` raises ViewNotKeptError. The result is the notice's Appended.
    """

    cut: Cursor
    first_position: int
    keep: Sequence[int]
    force: bool
    notice: Append
    served: Collection[str] = ()
    forgone: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Redact:
    """Erase the content of the event at ``position``.

    The result is the Appended of ``EventRedacted``, a ``duplicate`` where the event was
    redacted before.
    """

    position: int
    reason: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Transact:
    """Bring inline projections to the head, then call ``function(connection)``.

    Both are in the group's transaction. The function writes tables beside the log, such as
    access times; it may be called twice where a connection was lost. The result is None. An
    exception rolls the transaction back.
    """

    function: Callable[[Any], None]


ConsumerOperation: TypeAlias = OpenConsumer | RemoveConsumer | RewindConsumer | Acknowledge
ReportOperation: TypeAlias = StoreReport | RemoveReport
Operation: TypeAlias = Append | ConsumerOperation | ReportOperation | Trim | Redact | Transact
Outcome: TypeAlias = Appended | ConsumerState | EventStoreError | None


class CommitBatch(msgspec.Struct, frozen=True):
    """The whole commits that one transaction appended, and the cursor before them."""

    previous: Cursor
    events: tuple[Event, ...]

    @property
    def position(self) -> int:
        """The position of the last event."""
        return self.events[-1].position


Batches: TypeAlias = list[CommitBatch] | None
"""Where a write tells what it appended; ``None`` where that is not asked."""


def ownership_error(name: str, owner: str) -> TakenOverError:
    """Return the error of a subscription whose consumer ``owner`` has now."""
    return ConsumerRemovedError(name, owner) if owner == REMOVED else TakenOverError(name, owner)
