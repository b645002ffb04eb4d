"""Rejections: events by which consumers record that they cannot use an event."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from eventstore.log.events import NewEvent, StreamWrite

if TYPE_CHECKING:
    from eventstore.log.events import Event

CHANGE_REJECTED: Final = "ChangeRejected"
"""The type of these events."""


def rejection_stream(consumer: str) -> str:
    """Return the stream of a consumer's rejections: one event, and one version, for each."""
    name = consumer.rstrip("/") or sha256(consumer.encode()).hexdigest()
    return f"consumer/{name}"


def rejection_of(event: Event, consumer: str, reason: str) -> StreamWrite:
    """Return what records that ``consumer`` rejects ``event``; its id allows one for each event."""
    rejection = NewEvent(
        CHANGE_REJECTED,
        {
            "consumer": consumer,
            "position": event.position,
            "stream": event.stream,
            "reason": reason,
        },
        id=f"rejected:{event.position}:{sha256(consumer.encode()).hexdigest()}",
    )
    return StreamWrite(rejection_stream(consumer), [rejection])
