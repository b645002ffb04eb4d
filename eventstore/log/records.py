"""The records of an export: a log as plain values, the same for every database.

Each is written as a MessagePack array whose first item names its kind; docs/moving.md
describes the file that holds them. Fields are only ever added, at the end and with a default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

if TYPE_CHECKING:
    from typing import Self

    from eventstore.log.operations import StoredEvent

FORMAT: Final = 1
"""Version of the format. It rises where an older reader would misunderstand a file."""


class LogRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="log"):
    """The first record: which log it is, where it begins and ends."""

    format: int
    log_id: str
    first_position: int
    position: int
    recorded_us: int
    hash: bytes
    base_hash: bytes | None


class StreamRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="stream"):
    """A stream and its version at the log's last position."""

    name: str
    version: int


class _StoredColumns(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", gc=False):
    position: int
    stream: str
    version: int
    id: bytes
    type: str
    commit: int
    content: int
    data: bytes | None
    metadata: bytes | None
    recorded_us: int
    salt: bytes | None
    digest: bytes
    hash: bytes


class EventRecord(_StoredColumns, frozen=True, array_like=True, tag="event", gc=False):
    """An event as it is stored, with the columns salt and digest, which reads leave out."""

    @classmethod
    def of(cls, stored: StoredEvent) -> Self:
        """Return the record of a row."""
        event = stored.event
        return cls(
            event.position,
            event.stream,
            event.version,
            event.raw_id,
            event.type,
            event.commit,
            event.content,
            event.raw_data,
            event.raw_metadata,
            event.recorded_us,
            stored.salt,
            stored.digest,
            event.hash,
        )


class KeptRecord(_StoredColumns, frozen=True, array_like=True, tag="kept", gc=False):
    """An event from before the first position, and the chain's hash ``previous`` to it."""

    previous: bytes


class ConsumerRecord(
    msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="consumer"
):
    """A consumer with its checkpoint."""

    name: str
    position: int
    hash: bytes
    epoch: int
    owner: str
    seen_us: int


class EndRecord(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="end"):
    """The last record: how many there are of each kind."""

    streams: int
    kept: int
    events: int
    consumers: int


Record: TypeAlias = LogRecord | StreamRecord | KeptRecord | EventRecord | ConsumerRecord | EndRecord
