"""What trimming has to keep of memories: the event that each stored memory comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.archive.keepers import serving
from projections.memories.events import MEMORIES, MEMORY_DELETED, read_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.events import Event


@serving("memories")
def keep_memories(events: Iterable[Event]) -> Iterable[int]:
    """Choose the events of memories that must stay, as tables and as files; for ``store.trim``."""
    stored: dict[str, int] = {}
    # The log keeps their redactions, and projections look for what those are about.
    redacted: list[int] = []
    for event in events:
        if not event.stream.startswith(MEMORIES):
            continue
        if event.redacted:
            redacted.append(event.position)
        if event.redacted or event.type == MEMORY_DELETED:
            stored.pop(event.stream, None)
        elif read_data(event) is not None:
            stored[event.stream] = event.position
    return {*stored.values(), *redacted}
