"""What an operator asks about a named consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.changes.subscription import rejection_stream

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.log.operations import ConsumerState, Head
    from eventstore.store.event_store import EventStore


async def describe_consumer(store: EventStore, state: ConsumerState, head: Head) -> dict[str, Any]:
    """Return what ``status`` says of a consumer, as JSON-ready values.

    Its lag in seconds is the age of the first event that it has not done.
    """
    rejection = await _last_rejection(store, state.name)
    now = waiting_since = store.clock()
    at = max(state.cursor.position, head.first_position - 1)
    async for event in store.read(after=at, limit=1):
        waiting_since = event.recorded_us
    return {
        "name": state.name,
        "position": state.cursor.position,
        "lag": head.position - state.cursor.position,
        "lag_seconds": round(max(0, now - waiting_since) / 1e6, 1),
        "owner": state.owner,
        "host": state.owner.rpartition(":")[0],
        "seen_seconds_ago": round((now - state.seen_us) / 1e6, 1),
        "rejections": rejection.version if rejection else 0,
        "last_rejection": rejection.data if rejection else None,
    }


async def _last_rejection(store: EventStore, consumer: str) -> Event | None:
    async for event in store.read_stream(rejection_stream(consumer), backwards=True, limit=1):
        return event
    return None
