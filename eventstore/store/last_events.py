"""The last event of each stream of some categories, as of a position, of an open store."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from eventstore.errors import NotServedError
from eventstore.log.operations import Query
from eventstore.storage import last_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore


async def read_last_positions(
    store: EventStore, categories: Sequence[str], until: int
) -> dict[str, int]:
    """Return where the last event up to ``until`` of each stream of some categories is, by name.

    Of a stream whose events up to there were trimmed there is none. Raises NotServedError where
    the log is behind a server.
    """
    log = store._log  # noqa: SLF001 - of this package
    read = partial(last_events.read_last_positions, categories=categories, until=until)
    return await log.run(log.backend.read, read)


async def read_events(store: EventStore, positions: Iterable[int]) -> dict[int, Event]:
    """Return the events at some positions, also those that a trim has kept, by position."""
    wanted = sorted(positions)
    log = store._log  # noqa: SLF001 - of this package
    read = partial(last_events.read_events_at, positions=wanted)
    try:
        found = await log.run(log.backend.read, read)
    except NotServedError:
        return await _read_pages(store, wanted)
    lift = store._maintenance.lift  # noqa: SLF001 - of this package
    events = {event.position: lift(event) for event in found}
    # What a trim has kept is in another table.
    return events | await _read_pages(store, [one for one in wanted if one not in events])


async def _read_pages(store: EventStore, positions: Iterable[int]) -> dict[int, Event]:
    found: dict[int, Event] = {}
    for position in positions:
        query = Query(after=position - 1, until=position, limit=1, kept=True)
        found |= {event.position: event for event in (await store.feed.page(query)).events}
    return found
