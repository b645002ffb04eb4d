"""Positions that options name, compared with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import InvalidInputError

if TYPE_CHECKING:
    from eventstore.store.event_store import EventStore


async def check_position(store: EventStore, option: str, position: int) -> None:
    """Raise InvalidInputError, which names the option, for a position beyond the head."""
    head = (await store.head()).position
    if position > head:
        raise InvalidInputError(option, f"{position} is beyond the head, which is {head}")
