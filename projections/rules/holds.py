"""Holding the rules of a fleet still: rule stores stay at those of a moment, states go through."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from eventstore.errors import EventStoreError
from eventstore.log.events import NewEvent
from projections.rules.events import HOLD, HOLD_TYPES, RULES_HELD, RULES_RELEASED
from projections.rules.fold import HoldBegun, HoldEnded, read_event

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore import Appended, Event, EventStore
    from eventstore.log.events import JSON


class NotHeldError(EventStoreError):
    """The rules are not held, so there is nothing to release."""

    def __init__(self) -> None:
        super().__init__("the rules are not held: 'eventstore hold MOMENT' would hold them")


class Hold(NamedTuple):
    """The rules are held at those of ``position``, since ``at``."""

    position: int
    by: str
    reason: str
    at: datetime


class Holds:
    """At which position the rules were held, at each position of the log."""

    def __init__(self) -> None:
        self._since: list[int] = []
        self._held: list[int | None] = []

    def apply(self, event: Event) -> None:
        """Take in an event of the stream of holds, in the order of the log."""
        held: int | None = None
        match read_event(event):
            case HoldBegun(position=position):
                held = min(position, event.position)
            case HoldEnded():
                pass
            case _:
                return
        if not self._since or event.position > self._since[-1]:
            self._since.append(event.position)
            self._held.append(held)

    def at(self, position: int) -> int | None:
        """Return the position whose rules were in force after an event; None for its own."""
        found = bisect_right(self._since, position)
        return self._held[found - 1] if found else None

    def __bool__(self) -> bool:
        """Whether the rules were ever held."""
        return bool(self._since)

    def last_turn(self, position: int) -> int:
        """Return where a hold began or ended last, up to a position; 0 for never."""
        found = bisect_right(self._since, position)
        return self._since[found - 1] if found else 0

    def forget_gone(self, first: int, until: int) -> None:
        """Let each hold that ended up to ``until`` be none if its moment was trimmed away.

        ``first`` is the log's first position.
        """
        for number, held in enumerate(self._held[:-1]):
            if held is not None and held < first - 1 and self._since[number + 1] <= until:
                self._held[number] = None

    @property
    def changed(self) -> int:
        """The position of the event that began or ended a hold last; 0 for none."""
        return self._since[-1] if self._since else 0

    @property
    def now(self) -> int | None:
        """The position whose rules are in force; None where they are not held."""
        return self._held[-1] if self._held else None


async def read_holds(store: EventStore, until: int | None = None) -> Holds:
    """Return the holds of a log, as far as it has them; those that began up to a position."""
    holds = Holds()
    async for event in store.read(until=until, streams=HOLD, types=HOLD_TYPES, kept=True):
        holds.apply(event)
    return holds


async def read_hold(store: EventStore) -> Hold | None:
    """Return the hold that is in force; None where the rules are not held."""
    found = store.read(streams=HOLD, types=HOLD_TYPES, backwards=True, kept=True)
    async for event in found:
        match read_event(event):
            case HoldBegun(position, by, reason):
                return Hold(min(position, event.position), by, reason, event.recorded_at)
            case HoldEnded():
                return None
    return None


async def hold_rules(store: EventStore, position: int, *, by: str, reason: str = "") -> Appended:
    """Hold the rules at those of a position, which replaces an earlier hold."""
    data: JSON = {"position": position, "by": by, "reason": reason}
    return await store.append(HOLD, [NewEvent(RULES_HELD, data)])


async def release_rules(store: EventStore, *, by: str, reason: str = "") -> Appended:
    """Let rule stores follow the rules again. Raises NotHeldError where they are not held."""
    if await read_hold(store) is None:
        raise NotHeldError
    return await store.append(HOLD, [NewEvent(RULES_RELEASED, {"by": by, "reason": reason})])
