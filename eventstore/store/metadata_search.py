"""Events whose metadata holds some bytes, of an open store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log.operations import Query
from eventstore.store._reader import read_range

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore


async def read_with_metadata(store: EventStore, needle: bytes, until: int) -> AsyncIterator[Event]:
    """Yield the events up to ``until`` whose metadata holds ``needle``, also those a trim has kept.

    The metadata are JSON without spaces, as they are stored, or as upcasters have lifted them. The
    database searches them; of a log behind a server all events are read instead.
    """
    log = store._log  # noqa: SLF001 - of this package
    matching = Query(kept=True, in_metadata=needle)
    async for event in read_range(log, until=until, matching=matching, keep=store):
        if matching.matches(event):
            yield event
