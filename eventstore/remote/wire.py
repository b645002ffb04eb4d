"""The words of ``/v1/store``: what a store by URL asks a server, and what that answers.

They are MessagePack, which carries data, hashes and ids as the bytes that they are. The server and
the client use the same types, so neither can say what the other does not know.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec

from eventstore.errors import StorageError
from eventstore.log.event_ids import unpack_id
from eventstore.log.events import (
    JSON_CONTENT,
    Appended,
    Cursor,
    Event,
    NewEvent,
    Special,
    StreamWrite,
)
from eventstore.log.operations import (
    Append,
    ConsumerState,
    Head,
    Page,
    Query,
    Seal,
    SealedPage,
)

T = TypeVar("T")

MEDIA_TYPE: Final = "application/vnd.eventstore+msgpack"
"""No page of another site can send it unasked."""

READ_PATH: Final = "/v1/store/read"
WRITE_PATH: Final = "/v1/store/write"
LIVE_PATH: Final = "/v1/store/live"

MAX_ANSWER: Final = 320 * 1024 * 1024
"""Bytes of an answer at the most: more than a page of the largest events takes."""

LARGEST: Final = 2**63 - 1
"""The largest number that travels as one."""

Place: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Amount: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=100_000)]


class Identity(msgspec.Struct, frozen=True):
    """Which log a server serves: its head, its copy, and the streams that the token is for."""

    head: Head
    incarnation: str
    granted: tuple[str, ...] = ()


class ReadHead(msgspec.Struct, frozen=True, tag="head"):
    """Ask for the :class:`Identity`."""


class ReadPage(msgspec.Struct, frozen=True, tag="page", kw_only=True):
    """Ask for a :class:`PageAnswer`; the fields are those of a query."""

    after: Place = 0
    until: Place | None = None
    after_version: Place = 0
    streams: str | None = None
    types: tuple[str, ...] | None = None
    backwards: bool = False
    limit: Amount = 1024
    whole_commits: bool = False
    expect: Cursor | None = None
    consumers: tuple[tuple[str, Place], ...] = ()
    kept: bool = False
    oldest: bool = False
    exclude_streams: tuple[str, ...] = ()
    exclude_types: tuple[str, ...] = ()


class ReadConsumers(msgspec.Struct, frozen=True, tag="consumers"):
    """Ask for the states of consumers: all, or those of these names."""

    names: tuple[str, ...] | None = None


class ReadSlowest(msgspec.Struct, frozen=True, tag="slowest"):
    """Ask for :class:`SlowestAnswer`."""

    limit: Amount
    among: Amount | None


class ReadStreams(msgspec.Struct, frozen=True, tag="streams"):
    """Ask for the streams whose names begin with a prefix and follow another name."""

    prefix: str
    after: str
    limit: Amount


class ReadViews(msgspec.Struct, frozen=True, tag="views"):
    """Ask for the table projections in the log's database."""


class ReadToldViews(msgspec.Struct, frozen=True, tag="told-views"):
    """Ask for what the log was told of table projections in other databases."""


class ReadReports(msgspec.Struct, frozen=True, tag="reports"):
    """Ask for what workers have told of themselves."""


ReadState: TypeAlias = ReadConsumers | ReadSlowest | ReadViews | ReadToldViews | ReadReports
Read: TypeAlias = ReadHead | ReadPage | ReadStreams | ReadState


class PageAnswer(msgspec.Struct, frozen=True):
    """A page, as :class:`eventstore.log.operations.Page`, with what its hash chain is checked by.

    ``before`` is the chain's hash before the first event, ``seals`` is for each event the salt,
    empty where the event was redacted, and the digest of its content. A page of a reading that
    filters has none.
    """

    events: list[Event]
    through: Cursor
    head: Head
    floor: int
    ends: dict[int, bytes]
    lost: list[tuple[str, int, str]]
    before: bytes = b""
    seals: list[Seal] = []

    @classmethod
    def of(cls, sealed: SealedPage) -> PageAnswer:
        """Return a page as it travels."""
        page = sealed.page
        lost = [(name, epoch, owner) for (name, epoch), owner in page.lost.items()]
        events, ends = list(page.events), dict(page.ends)
        return cls(
            events, page.through, page.head, page.floor, ends, lost, sealed.before, sealed.seals
        )

    def page(self) -> Page:
        """Return what was sent."""
        lost = {(name, epoch): owner for name, epoch, owner in self.lost}
        return Page(self.events, self.through, self.head, self.floor, self.ends, lost)

    def sealed(self) -> SealedPage:
        """Return what was sent, with what it is checked by."""
        return SealedPage(self.page(), self.before, self.seals)


class SlowestAnswer(msgspec.Struct, frozen=True):
    """The consumers that are furthest behind."""

    number: int
    more: bool
    states: list[ConsumerState]


class SentEvent(msgspec.Struct, frozen=True, array_like=True):
    """An event to append, encoded by its writer."""

    type: str
    content: int
    data: bytes
    metadata: bytes
    raw_id: bytes

    @classmethod
    def of(cls, event: NewEvent) -> SentEvent:
        """Return an event as it travels."""
        return cls(event.type, event.content, event.raw_data, event.raw_metadata, event.raw_id)

    def event(self) -> NewEvent:
        """Return the event, checked as one of this process; raise InvalidInputError."""
        data = msgspec.json.decode(self.data) if self.content == JSON_CONTENT else self.data
        metadata = msgspec.json.decode(self.metadata) if self.metadata else None
        return NewEvent(self.type, data, id=unpack_id(self.raw_id), metadata=metadata)


class SentWrite(msgspec.Struct, frozen=True, array_like=True):
    """Events for one stream; ``expected`` is a version, or the name of what is special."""

    stream: str
    expected: Place | str
    events: list[SentEvent]

    @classmethod
    def of(cls, write: StreamWrite) -> SentWrite:
        """Return a write as it travels."""
        expected: int | str
        if isinstance(write.expected, Special):
            expected = write.expected.value
        else:
            expected = write.expected if write.expected <= LARGEST else str(write.expected)
        return cls(write.stream, expected, [SentEvent.of(event) for event in write.events])

    def write(self) -> StreamWrite:
        """Return what was sent; raise ValueError for what is no write."""
        expected: Any = self.expected
        if isinstance(expected, str):
            expected = int(expected) if expected.isdecimal() else Special(expected)
        return StreamWrite(self.stream, [event.event() for event in self.events], expected)


class SentAppend(msgspec.Struct, frozen=True, tag="append"):
    """An append; the outcome is :class:`SentAppended`."""

    writes: list[SentWrite]

    @classmethod
    def of(cls, append: Append) -> SentAppend:
        """Return an append as it travels."""
        return cls([SentWrite.of(write) for write in append.writes])


class SentOpen(msgspec.Struct, frozen=True, tag="open"):
    """Own a consumer; the outcome is a ConsumerState, as of the next three."""

    name: str
    owner: str
    start: Cursor | None


class SentRemove(msgspec.Struct, frozen=True, tag="remove"):
    """Remove a consumer."""

    name: str


class SentRewind(msgspec.Struct, frozen=True, tag="rewind"):
    """Move a consumer back."""

    name: str
    to: Place | Cursor
    owner: str


class SentAck(msgspec.Struct, frozen=True, tag="ack"):
    """Store a consumer's checkpoint; the outcome is None."""

    name: str
    epoch: Place
    cursor: Cursor


class SentReport(msgspec.Struct, frozen=True, tag="report"):
    """Store what a worker tells of itself, or remove it for ``None``; the outcome is None."""

    name: str
    report: str | None


Sent: TypeAlias = SentAppend | SentOpen | SentRemove | SentRewind | SentAck | SentReport


class Group(msgspec.Struct, frozen=True):
    """Operations that are carried out side by side, on this log and this copy of it."""

    log_id: str
    incarnation: str
    operations: list[Sent]


class SentAppended(msgspec.Struct, frozen=True, tag="appended"):
    """The result of an append."""

    position: int
    versions: dict[str, int]
    cursor: Cursor
    duplicate: bool
    version: int
    recorded_us: int

    @classmethod
    def of(cls, done: Appended) -> SentAppended:
        """Return a result as it travels."""
        return cls(**{name: getattr(done, name) for name in cls.__struct_fields__})

    def appended(self) -> Appended:
        """Return what was sent."""
        return Appended(**{name: getattr(self, name) for name in self.__struct_fields__})


class SentState(msgspec.Struct, frozen=True, tag="consumer"):
    """A consumer's state; ``None`` after an acknowledgement."""

    state: ConsumerState | None


class SentProblem(msgspec.Struct, frozen=True, tag="problem"):
    """An operation that failed by itself: the body of a problem, as JSON."""

    status: int
    body: bytes


SentOutcome: TypeAlias = SentAppended | SentState | SentProblem


def encode(value: object) -> bytes:
    """Return one of the values above as bytes."""
    return msgspec.msgpack.encode(value)


def decode(body: bytes, shape: type[T], where: str) -> T:
    """Return what a server answered; raise StorageError for anything else."""
    try:
        return msgspec.msgpack.decode(body, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StorageError(where, f"what answers there is no event store: {error}") from error


def query_of(asked: ReadPage) -> Query:
    """Return the query that a client asks."""
    return Query(**{name: getattr(asked, name) for name in asked.__struct_fields__})


def asked_by(query: Query) -> ReadPage:
    """Return a query as it travels."""
    fields = {name: getattr(query, name) for name in ReadPage.__struct_fields__}
    until = None if query.until is None else min(query.until, LARGEST)
    return ReadPage(**fields | {"after": min(query.after, LARGEST), "until": until})
