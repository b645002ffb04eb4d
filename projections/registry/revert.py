"""A registration as it was: the event that restores it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log.events import NewEvent, StreamWrite
from projections.registry.events import BOT_REGISTERED, BOT_UNREGISTERED, read_bot_id, read_change
from projections.registry.history import registration_as_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore import EventStore
    from eventstore.log.events import JSON


async def plan_registration(
    log: EventStore, stream: str, to: int, metadata: Mapping[str, JSON]
) -> StreamWrite | None:
    """Return the write that restores the registration of a stream; None where nothing differs."""
    changes, version = [], 0
    async for event in log.read(streams=stream, kept=True):
        version = event.version
        if (change := read_change(event)) is not None:
            changes.append(change)
    then, now = (registration_as_of(changes, until) for until in (to, 2**63))
    said = [None if one is None else (one.config, one.status, one.metadata) for one in (then, now)]
    if said[0] == said[1]:
        return None
    data: dict[str, JSON] = {"bot_id": read_bot_id(stream)}
    if then is None:
        event_ = NewEvent(BOT_UNREGISTERED, data, metadata=metadata)
    else:
        data |= {"config": then.config, "status": then.status, "metadata": then.metadata}
        event_ = NewEvent(BOT_REGISTERED, data, metadata=metadata)
    return StreamWrite(stream, [event_], version)
