"""Rejections: events by which consumers record that they cannot use an event."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from eventstore.log.events import NewEvent, StreamWrite

if TYPE_CHECKING:
    from eventstore.log.events import Event

CHANGE_REJECTED: Final = "ChangeRejected"
"""The type of these events."""


CATEGORY: Final = "consumer/"
"""The category of their streams."""

_DIGEST: Final = "~sha256:"
"""Begins the names of streams of consumers whose own names cannot end a stream's name."""

_OUTBOX: Final = "~outbox/"
"""Begins the names of the streams in which outboxes record retries."""


def rejection_stream(consumer: str) -> str:
    """Return the stream of a consumer's rejections: one event, and one version, for each.

    No two consumers have the same. A name that ends in ``/`` names no stream, so a digest
    stands for it; so it does for a name that could be taken for such a digest.
    """
    if consumer.endswith("/") or consumer.startswith((_DIGEST, _OUTBOX)):
        return f"{CATEGORY}{_DIGEST}{sha256(consumer.encode()).hexdigest()}"
    return CATEGORY + consumer


def outbox_stream(consumer: str) -> str:
    """Return the stream of what became of a consumer's rejections, where it is an outbox."""
    return CATEGORY + _OUTBOX + rejection_stream(consumer).removeprefix(CATEGORY)


def rejections_beside(stream: str) -> str:
    """Return the stream of rejections of the consumer that a stream of the category belongs to."""
    return CATEGORY + stream.removeprefix(CATEGORY).removeprefix(_OUTBOX)


def is_rejection(event: Event) -> bool:
    """Whether an event is a consumer's rejection."""
    return event.type == CHANGE_REJECTED and event.stream.startswith(CATEGORY)


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
