"""The events of memories: their names, their data, and how they are decoded.

=================  =============  ========================================================
type               stream         data
=================  =============  ========================================================
``MemoryStored``   ``memory/ID``  every field of the memory, by its name
``MemoryDeleted``  ``memory/ID``  ``id``
=================  =============  ========================================================

Any other event, and one whose data is no memory, is ignored: the memory stays as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.log.redaction import EVENT_REDACTED, read_redaction
from projections.memories.model import (
    ChangeKind,
    Domain,
    Memory,
    MemoryChange,
    Namespace,
    Seconds,
    Status,
    check_id,
    check_memory,
)
from projections.seams.changes import writer_of

if TYPE_CHECKING:
    from eventstore import Event

MEMORY_STORED: Final = "MemoryStored"
MEMORY_DELETED: Final = "MemoryDeleted"
TYPES: Final = frozenset({MEMORY_STORED, MEMORY_DELETED, EVENT_REDACTED})
"""The types that a subscriber to memories needs."""

MEMORIES: Final = "memory/"


class MemoryData(msgspec.Struct):
    """The data of ``MemoryStored``; defaults are those of ``Memory``."""

    id: str
    content: str
    namespace: Namespace
    status: Status
    created_at: Seconds
    updated_at: Seconds
    domain: Domain = Domain()
    project_id: str | None = None
    branch: str | None = None
    file_path: str | None = None
    tombstoned_at: Seconds | None = None
    expires_at: Seconds | None = None
    embedding: list[Seconds] | None = None
    tags: list[str] = []
    source: str | None = None
    is_summary: bool = False
    source_memory_ids: list[str] | None = None
    consolidation_timestamp: Seconds | None = None


_DECODER: Final = msgspec.json.Decoder(MemoryData)


def memory_stream(memory_id: object) -> str:
    """Return the stream of a memory; raise InvalidInputError for what cannot be an id."""
    return MEMORIES + check_id(memory_id)


def encode_memory(memory: Memory) -> dict[str, Any]:
    """Return a memory, checked, as the data of ``MemoryStored``."""
    data: dict[str, Any] = msgspec.to_builtins(check_memory(memory))
    return data


def decode_memory(raw: bytes | str) -> Memory:
    """Undo :func:`encode_memory`, from JSON text; raise ValueError for what is no memory."""
    return _as_memory(_DECODER.decode(raw))


def _as_memory(data: MemoryData) -> Memory:
    return Memory(**msgspec.structs.asdict(data))


def read_data(event: Event) -> MemoryData | None:
    """Return the data of the memory that an event stores; ``None`` for any other event."""
    if event.type != MEMORY_STORED or event.raw_data is None:
        return None
    try:
        data = _DECODER.decode(event.raw_data)
    except ValueError:
        return None
    return data if MEMORIES + data.id == event.stream else None


def read_memory(event: Event) -> Memory | None:
    """Return the memory that an event stores; ``None`` for any other event."""
    data = read_data(event)
    return None if data is None else _as_memory(data)


def read_change(event: Event) -> MemoryChange | None:
    """Return the change that an event makes to memories; ``None`` for none."""
    stream = event.stream
    kind: ChangeKind = "deleted"
    memory = None
    if (redaction := read_redaction(event)) is not None:
        kind, stream = "redacted", redaction.stream
    elif event.redacted:
        kind = "redacted"
    elif event.type == MEMORY_STORED:
        kind, memory = "stored", read_memory(event)
    if not stream.startswith(MEMORIES) or (kind == "stored" and memory is None):
        return None
    return MemoryChange(
        kind,
        stream.removeprefix(MEMORIES),
        memory,
        event.position,
        event.recorded_at,
        writer_of(event),
    )
