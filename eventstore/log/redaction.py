"""Redactions: an event whose content was erased, and the event that records it.

Data, metadata and salt of an event are set to NULL and ``EventRedacted`` is appended to the
stream ``log/redactions``, in one transaction. The digest stays, so the chain still holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.log.events import NewEvent

if TYPE_CHECKING:
    from eventstore.log.events import Event

LOG: Final = "log/"
"""The category of events that the log writes about itself. Callers cannot append to it."""

REDACTIONS: Final = f"{LOG}redactions"
EVENT_REDACTED: Final = "EventRedacted"


class Redaction(msgspec.Struct, frozen=True):
    """The data of ``EventRedacted``: which event was erased, why, and by whom."""

    position: int
    stream: str
    version: int
    type: str
    reason: str
    by: str | None = None

    def event(self, content: int, event_id: str | None = None) -> NewEvent:
        """Return the event to append.

        ``content`` is JSON or bytes as the erased row had it, which no longer shows.
        """
        data = msgspec.structs.asdict(self)
        return NewEvent(EVENT_REDACTED, data, id=event_id, metadata={"content": content})


def redaction_id(position: int) -> str:
    """Return the id of the event that redacts ``position``; it allows one."""
    return f"redacted:{position}"


def read_redaction(event: Event) -> Redaction | None:
    """Return what an event redacts; ``None`` for an event that is no redaction."""
    if event.stream != REDACTIONS or event.type != EVENT_REDACTED or event.raw_data is None:
        return None
    try:
        return msgspec.json.decode(event.raw_data, type=Redaction)
    except (msgspec.MsgspecError, RecursionError):
        return None
