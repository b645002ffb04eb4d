"""Events that say what is in force again, where a hold begins or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from eventstore.log.events import Event
from projections.rules.events import RULE_REMOVED

if TYPE_CHECKING:
    from typing import Self


class Restated(Event, frozen=True, gc=False):
    """A definition that is in force again since the event at ``since``, which has ``since_hash``.

    All else is that of the event which defined it, but for ``commit``: that is of ``since``.
    """

    since: int
    since_hash: bytes

    @classmethod
    def by(cls, event: Event, cause: Event) -> Self:
        """Return a definition as restated by an event."""
        values = msgspec.structs.asdict(event) | {"commit": cause.commit}
        return cls(**values, since=cause.position, since_hash=cause.hash)


def removal(stream: str, cause: Event) -> Event:
    """Return the removal of a rule which an event means."""
    return msgspec.structs.replace(cause, stream=stream, type=RULE_REMOVED, raw_data=None)


def since(event: Event) -> tuple[int, bytes]:
    """Return since where in the log an event is in force, and the chain's hash there."""
    if isinstance(event, Restated):
        return event.since, event.since_hash
    return event.position, event.hash
