"""The events of rules as far as they are in force: those for directories and replicas.

While the rules are held, definitions and removals are left out; where a hold begins or ends, the
rules that differ by it are stated again. So what is made of the events is at each position what
rule stores have there. All of it follows from the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log.redaction import read_redaction
from eventstore.store.last_events import read_events
from projections.protocol import OutdatedViewError
from projections.rules._held_rules import HeldRules
from projections.rules.events import HOLD, RULES
from projections.rules.fold import Defined
from projections.rules.holds import read_holds
from projections.rules.restated import Restated, removal
from projections.rules.rules_at import read_last_good

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Event, EventStore
    from projections.rules.holds import Holds


class EventsInForce:
    """Implements EventFilter for the projection called ``name``."""

    def __init__(self, store: EventStore, name: str) -> None:
        self._store = store
        self._name = name
        self._rules = HeldRules(store)
        self._holds: Holds | None = None
        self._rebuilding: int | None = None

    async def in_force(self, events: Sequence[Event], rebuilding: int | None) -> Sequence[Event]:
        """Return what events in the order of the log mean where holds are honoured.

        Raises OutdatedViewError where only a rebuild gives what is in force, and HistoryGoneError
        where the moment at which the rules are held was trimmed away.
        """
        holds = await self._holds_of(events, rebuilding)
        if not holds:
            return events
        found: list[Event] = []
        for event in events:
            found += await self._one(event, holds)
        return found

    async def _holds_of(self, events: Sequence[Event], rebuilding: int | None) -> Holds:
        """Return the holds of the log, those that events begin and end included."""
        if self._holds is None or rebuilding != self._rebuilding:
            self._holds, self._rebuilding = await read_holds(self._store), rebuilding
            if rebuilding is not None:
                self._holds.forget_gone((await self._store.head()).first_position, rebuilding)
        for event in events:
            if event.stream == HOLD:
                self._holds.apply(event)
        return self._holds

    async def _one(self, event: Event, holds: Holds) -> Sequence[Event]:
        if event.stream == HOLD:
            return [*await self._turned(event, holds), event]
        if event.stream.startswith(RULES):
            return [event] if holds.at(event.position) is None else []
        redaction = read_redaction(event)
        if redaction is None or not redaction.stream.startswith(RULES):
            return [event]
        if redaction.position > holds.last_turn(event.position):
            return [event] if holds.at(event.position) is None else []
        # What is in force may be of this event, with another place in the log.
        if self._rebuilding is None:
            raise OutdatedViewError(self._name, event.position)
        return [await self._restated(redaction.stream, event, holds)]

    async def _turned(self, event: Event, holds: Holds) -> list[Event]:
        """Return the rules that differ by the beginning or the end of a hold."""
        before = holds.at(event.position - 1)
        if self._rebuilding is None and before is not None and await self._rules.is_gone(before):
            # What was held is not known any more; what stands now is, to a rebuild.
            raise OutdatedViewError(self._name, event.position, "ended a hold of what was trimmed")
        changes = await self._rules.changes(holds, event.position)
        gone = [removal(RULES + one.rule_id, event) for one in changes if one.rule is None]
        places = sorted(one.position for one in changes if one.rule is not None)
        events = await read_events(self._store, places)
        return [*gone, *[Restated.by(events[place], event) for place in places]]

    async def _restated(self, stream: str, cause: Event, holds: Holds) -> Event:
        held = holds.at(cause.position)
        found = await read_last_good(self._store, stream, cause.position if held is None else held)
        if found is None or not isinstance(found[1], Defined):
            return removal(stream, cause)
        return Restated.by(found[0], cause)
