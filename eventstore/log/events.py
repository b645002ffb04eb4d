"""The values that users hold: events before and after an append, cursors, results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias
from uuid import UUID

import msgspec
from uuid_utils import uuid7

from eventstore import limits
from eventstore.errors import CorruptEventError, InvalidInputError, LimitExceededError
from eventstore.log._exact_json import encode_exact
from eventstore.log.clock import from_microseconds
from eventstore.log.event_ids import pack_id, unpack_id
from eventstore.log.names import check_name, check_type
from eventstore.system.traces import API, TRACEPARENT, current_traceparent, loaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"
"""What ``data`` may be besides ``bytes``: anything that JSON gives back exactly."""

JSON_CONTENT: Final = 0
BYTES_CONTENT: Final = 1


class Special(Enum):
    """Arguments that stand for a version or a position."""

    STREAM_EXISTS = "STREAM_EXISTS"
    ANY = "ANY"
    END = "END"
    OLDEST = "OLDEST"

    def __repr__(self) -> str:
        return self.value


NO_STREAM: Final = 0
"""``expected=NO_STREAM``: the stream must not exist yet."""
STREAM_EXISTS: Final = Special.STREAM_EXISTS
"""``expected=STREAM_EXISTS``: the stream must have at least one event."""
ANY: Final = Special.ANY
"""``expected=ANY``: append at any version of the stream."""
END: Final = Special.END
"""``after=END``: follow from the log's head at the time of the call."""
OLDEST: Final = Special.OLDEST
"""The default of ``after``: before the oldest event that is still there."""

Expected: TypeAlias = int | Literal[Special.ANY, Special.STREAM_EXISTS]


class NewEvent:
    """An event that is about to be appended.

    ``type`` names the fact (``"RuleDefined"``); ``data`` is a JSON value or ``bytes``;
    ``metadata`` a JSON object about the event (who, why), ``{}`` where absent. Both are
    encoded by the constructor, so later changes to the values have no effect. A value that
    JSON cannot hold exactly (NaN, keys that are not strings, tuples, datetimes) raises
    :class:`InvalidInputError`.

    ``id`` identifies the fact: appending an event with a stored id again stores nothing. Give a
    natural key (a text or a UUID); the default is a time-ordered UUIDv7 (RFC 9562).

    Where the program records spans, an event without a given id carries the trace context in which
    it was made, as ``traceparent`` in its metadata, unless that is there. An event with a given id
    may be made again in another span, and has to be equal then: it carries what it is given.
    """

    __slots__ = ("content", "raw_data", "raw_id", "raw_metadata", "type")

    def __init__(
        self,
        type: str,  # noqa: A002 - the field's own word, and the name users write
        data: JSON | bytes,
        *,
        id: str | UUID | None = None,  # noqa: A002
        metadata: Mapping[str, JSON] | None = None,
    ) -> None:
        self.type: Final = check_type(type)
        if id is None:
            self.raw_id = uuid7().bytes
        else:
            text = str(id) if isinstance(id, UUID) else id
            self.raw_id = pack_id(check_name("event id", text, limits.MAX_ID_BYTES))
        if isinstance(data, (bytes, bytearray, memoryview)):
            self.content, self.raw_data = BYTES_CONTENT, bytes(data)
        else:
            self.content, self.raw_data = JSON_CONTENT, encode_exact("data of", type, data)
        self.raw_metadata = b"" if metadata is None else self._encode_metadata(metadata)
        if API in loaded and id is None and (traceparent := current_traceparent()):
            self._carry(traceparent)
        if len(self.raw_data) > limits.MAX_EVENT_BYTES:
            raise LimitExceededError(
                f"data of {type!r}, bytes", len(self.raw_data), limits.MAX_EVENT_BYTES
            )

    def _encode_metadata(self, metadata: Mapping[str, JSON]) -> bytes:
        if not isinstance(metadata, Mapping):
            raise InvalidInputError(f"metadata of {self.type!r}", "must be a JSON object")
        metadata = dict(metadata)
        if not metadata:
            return b""
        encoded = encode_exact("metadata of", self.type, metadata)
        if len(encoded) > limits.MAX_METADATA_BYTES:
            raise LimitExceededError(
                f"metadata of {self.type!r}, bytes", len(encoded), limits.MAX_METADATA_BYTES
            )
        return encoded

    def _carry(self, traceparent: str) -> None:
        metadata = self.metadata
        if TRACEPARENT in metadata:
            return
        metadata[TRACEPARENT] = traceparent
        encoded = encode_exact("metadata of", self.type, metadata)
        if len(encoded) <= limits.MAX_METADATA_BYTES:  # No event is refused for its trace.
            self.raw_metadata = encoded

    @property
    def id(self) -> str:
        """The identity of the fact, fixed when it was made."""
        return unpack_id(self.raw_id)

    @property
    def data(self) -> Any:
        """The data as it will be read back: a fresh copy each time."""
        return (
            self.raw_data if self.content == BYTES_CONTENT else msgspec.json.decode(self.raw_data)
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata as it will be read back: a fresh copy each time."""
        return msgspec.json.decode(self.raw_metadata) if self.raw_metadata else {}

    def __repr__(self) -> str:
        return f"NewEvent({self.type!r}, {self.data!r:.200}, id={self.id!r})"


class Event(msgspec.Struct, frozen=True, gc=False):
    """A fact in the log. Immutable; ``raw_*`` fields hold it exactly as stored.

    Where an upcaster has lifted it, its type and content are those that the function returned.
    Reads build events by the hundred thousand, so ``data``, ``metadata``, ``id`` and
    ``recorded_at`` are properties that decode on access.
    """

    position: int
    """Place in the whole log: 1, 2, 3 … without holes, in commit order."""
    stream: str
    """``category/key`` of the thing that the event is about."""
    version: int
    """Place in its stream, from 1."""
    type: str
    """What happened, for example ``"RuleDefined"``."""
    commit: int
    """Position of the last event that was committed together with this one."""
    raw_id: bytes
    content: int
    raw_data: bytes | None
    """``None`` once the content was redacted."""
    raw_metadata: bytes | None
    recorded_us: int
    """Time of the commit in microseconds since the epoch; never runs backwards."""
    hash: bytes
    """The chain's SHA-256 up to and including this event."""

    @property
    def id(self) -> str:
        """The identity that the writer gave it.

        Raises :class:`CorruptEventError` where what is stored is no id.
        """
        try:
            return unpack_id(self.raw_id)
        except (ValueError, IndexError) as error:
            raise CorruptEventError("log", self.position, f"no id: {error}") from error

    @property
    def recorded_at(self) -> datetime:
        """Time of the commit, aware, UTC.

        Raises :class:`CorruptEventError` where what is stored is no time.
        """
        try:
            return from_microseconds(self.recorded_us)
        except (ValueError, OverflowError, OSError) as error:
            raise CorruptEventError("log", self.position, f"no time: {error}") from error

    @property
    def data(self) -> Any:
        """The JSON value or the bytes; a fresh copy on each access, ``None`` if redacted.

        Raises :class:`CorruptEventError` where the stored text is no longer JSON.
        """
        if self.raw_data is None or self.content == BYTES_CONTENT:
            return self.raw_data
        return self._decode(self.raw_data)

    @property
    def metadata(self) -> dict[str, Any]:
        """The JSON object that came with the event, ``{}`` where there was none."""
        return self._decode(self.raw_metadata) if self.raw_metadata else {}

    @property
    def redacted(self) -> bool:
        """Whether the content was erased after the fact."""
        return self.raw_data is None

    def _decode(self, raw: bytes) -> Any:
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptEventError("log", self.position, f"not JSON: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-ready values; bytes are left to the encoder (base64)."""
        return {
            "position": self.position,
            "stream": self.stream,
            "version": self.version,
            "id": self.id,
            "type": self.type,
            "data": self.data,
            "metadata": self.metadata,
            "recorded_at": self.recorded_at.isoformat(),
            "commit": self.commit,
        }


class Cursor(msgspec.Struct, frozen=True, order=False):
    """A place in one history of a log.

    ``log_id`` names the log, ``position`` the last event before the place, ``hash`` the chain's
    value there. A log that was recreated, restored from an older copy or failed over to a
    lagging replica does not match, and using the cursor raises HistoryDivergedError.
    """

    log_id: str
    position: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.log_id}:{self.position}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what ``str(cursor)`` wrote; raise InvalidInputError for anything else."""
        try:
            log_id, position, digest = text.split(":")
            return cls(log_id, int(position), bytes.fromhex(digest))
        except ValueError as error:
            raise InvalidInputError(f"cursor {text!r:.100}", "is not id:position:hash") from error


@dataclass(frozen=True, slots=True)
class StreamWrite:
    """Events for one stream within an atomic ``append_many``."""

    stream: str
    events: Sequence[NewEvent]
    expected: Expected = ANY


@dataclass(frozen=True, slots=True)
class Appended:
    """The result of an append.

    ``position`` and ``version`` are those of the last event; ``versions`` gives the new
    version of each stream; ``cursor`` is the cursor of the last event. ``duplicate`` is True
    where an earlier, equal call stored the events; the other fields are those of its result.
    ``recorded_us`` is when the events were recorded, in microseconds since the epoch.
    """

    position: int
    versions: Mapping[str, int]
    cursor: Cursor
    duplicate: bool
    version: int
    recorded_us: int

    @property
    def recorded_at(self) -> datetime:
        """When the events were recorded: an aware time, in UTC."""
        return from_microseconds(self.recorded_us)
