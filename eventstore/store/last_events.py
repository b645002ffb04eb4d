"""The last event of each stream of a category, as of a position, of an open store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from eventstore.log.operations import Query
from eventstore.storage import last_events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore


async def read_events(store: EventStore, positions: Iterable[int]) -> dict[int, Event]:
    """Return the events at some positions, also those that a trim has kept, by position."""
    found: dict[int, Event] = {}
    for position in positions:
        query = Query(after=position - 1, until=position, limit=1, kept=True)
        found |= {event.position: event for event in (await store.feed.page(query)).events}
    return found


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
