"""The hash chain: what makes a history that was changed afterwards show it.

Every event carries two SHA-256 values. Its *digest* covers a random salt, the data and
the metadata; its *hash* covers the hash before it and everything else about the event,
the digest included. Erasing data, metadata and salt together (redaction) therefore keeps
the chain whole, and what was erased cannot be guessed from the digest. All numbers are
big-endian and every field of variable length is preceded by its length, so that no two
different events have the same encoding.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.log.records import EventRecord, KeptRecord

DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 16

_content = struct.Struct(">BQ").pack
_fixed = struct.Struct(">QQQQHHH").pack


def genesis(log_id: str) -> bytes:
    """Return the hash before the first event of a log, different for each log."""
    return sha256(b"eventstore log 1\0" + log_id.encode()).digest()


def content_digest(salt: bytes, content: int, data: bytes, metadata: bytes) -> bytes:
    """Return the salted digest of an event's content, the part that may be redacted."""
    return sha256(salt + _content(content, len(data)) + data + metadata).digest()


def content_fault(
    salt: bytes | None, content: int, data: bytes | None, metadata: bytes | None, digest: bytes
) -> str | None:
    """Say why stored content does not fit its digest; ``None`` where it does, or is redacted.

    Raises what computing with a value of the wrong type raises.
    """
    if data is None and metadata is None and salt is None:
        return None
    if data is None or metadata is None or salt is None:
        return "is redacted in part only"
    if content_digest(salt, content, data, metadata) != digest:
        return "its content is not what was written"
    return None


def link(
    previous: bytes,
    position: int,
    version: int,
    commit: int,
    recorded_us: int,
    stream: bytes,
    type_: bytes,
    raw_id: bytes,
    digest: bytes,
) -> bytes:
    """Return the chain's hash at an event, from the one before it and the event itself."""
    fixed = _fixed(position, version, commit, recorded_us, len(stream), len(type_), len(raw_id))
    return sha256(b"".join((previous, fixed, stream, type_, raw_id, digest))).digest()


def link_after(
    previous: bytes, event: Event | EventRecord | KeptRecord, raw_id: bytes, digest: bytes
) -> bytes:
    """Return the hash that a stored event has to have after ``previous``; see :func:`link`."""
    return link(
        previous,
        event.position,
        event.version,
        event.commit,
        event.recorded_us,
        event.stream.encode(),
        event.type.encode(),
        raw_id,
        digest,
    )
