"""The last event of each stream of a category, as of a position, of an open store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from eventstore.storage import last_events

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore


async def read_last_events(store: EventStore, category: str, until: int) -> list[Event]:
    """Return the last event up to ``until`` of each stream of a category, in position order.

    Of a stream whose events up to there were trimmed there is none. Raises NotServedError where
    the log is behind a server.
    """
    log = store._log  # noqa: SLF001 - of this package
    read = partial(last_events.read_last_events, category=category, until=until)
    found = await log.run(log.backend.read, read)
    lift = store._maintenance.lift  # noqa: SLF001 - of this package
    return [lift(event) for event in found]
