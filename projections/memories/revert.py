"""A memory as it was: the event that restores it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log.events import NewEvent, StreamWrite
from projections.memories.events import (
    MEMORIES,
    MEMORY_DELETED,
    MEMORY_STORED,
    encode_memory,
    read_change,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore import EventStore
    from eventstore.log.events import JSON
    from projections.memories.model import Memory


async def plan_memory(
    log: EventStore, stream: str, to: int, metadata: Mapping[str, JSON]
) -> StreamWrite | None:
    """Return the write that restores the memory of a stream; None where nothing differs."""
    then: Memory | None = None
    now: Memory | None = None
    version = 0
    async for event in log.read(streams=stream, kept=True):
        version = event.version
        if (change := read_change(event)) is not None:
            now = change.memory
            then = now if event.position <= to else then
    if then == now:
        return None
    if then is None:
        data: JSON = {"id": stream.removeprefix(MEMORIES)}
        return StreamWrite(stream, [NewEvent(MEMORY_DELETED, data, metadata=metadata)], version)
    stored = NewEvent(MEMORY_STORED, encode_memory(then), metadata=metadata)
    return StreamWrite(stream, [stored], version)
