"""The set of rules of a follower that sees every event, without their contents in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import anyio

from eventstore.errors import HistoryDivergedError, HistoryGoneError
from eventstore.log.clock import from_microseconds
from projections.rules._held_rules import HeldRules
from projections.rules._rule_index import TYPES
from projections.rules.events import HOLD
from projections.rules.fold import Defined, Erased, Removed, StateErased, StateSet, read_event
from projections.rules.holds import Holds, read_holds
from projections.rules.rule_set import Contents, Intended, contents_of, with_states
from projections.rules.rules_at import read_rules_at

__all__ = ["TYPES", "IntendedReader", "SeenRules", "read_intended"]

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore import Cursor, Event, EventStore
    from projections.rules.model import RuleState


class SeenRules:
    """The rules as of a position, moved on by the events after it."""

    def __init__(self) -> None:
        self._holds = Holds()
        self._held: tuple[int, Contents] | None = None
        self._contents: Contents = {}
        self._states: dict[str, RuleState] = {}
        self._positions: dict[str, int] = {}
        self.position = 0
        self.outdated = False
        """Whether content was redacted: only :meth:`begin` knows what stands then."""

    async def begin(self, store: EventStore, position: int) -> None:
        """Read the rules as of a position, at or after the one before the log's first."""
        self.position, self.outdated, self._held = position, False, None
        self._contents, self._states, self._positions = {}, {}, {}
        if position:
            found = await read_rules_at(store, position)
            self._positions = {name: one.position for name, one in found.versions.items()}
            self._contents = contents_of(found)
            self._states = {rule_id: found.state(rule_id) for rule_id in found.stateful()}
        self._holds = await read_holds(store, position) if position else Holds()

    def apply(self, event: Event) -> None:
        """Take in an event, in the order of the log; one that was seen before changes nothing."""
        if event.position <= self.position:
            return
        self.position = event.position
        if event.stream == HOLD:
            self._holds.apply(event)
        says = read_event(event)
        if isinstance(says, Defined | Removed | StateSet | StateErased):
            self._positions[event.stream] = event.position
        match says:
            case Defined():
                self._contents |= contents_of([(event.position, says)])
            case Removed(rule_id):
                self._contents.pop(rule_id, None)
            case StateSet(rule_id, state):
                self._states[rule_id] = state
            case StateErased(rule_id):
                self._states.pop(rule_id, None)
            case Erased():
                self.outdated = True

    async def intended(self, store: EventStore, now: datetime) -> Intended:
        """Return the set that is in force there; while rules are held, with the held ones."""
        contents, held = self._contents, self._holds.now
        if held is not None:
            if self._held is None or self._held[0] != held:
                self._held = held, contents_of(await HeldRules(store).at(held))
            contents = self._held[1]
        since = max((self._holds.changed, *self._positions.values()))
        rules = with_states(contents, self._states.get, now)
        return Intended(self.position, since, rules, held, dict(self._positions))


class IntendedReader:
    """The set that all workers should have: read once, and moved on with the log."""

    def __init__(self) -> None:
        self._seen = SeenRules()
        self._cursor: Cursor | None = None
        self._reading = anyio.Lock()

    async def read(self, store: EventStore) -> Intended:
        """Return the set as of the log's head."""
        async with self._reading:
            head, seen = await store.head(), self._seen
            try:
                if self._cursor is not None and self._cursor != head.cursor:
                    until = head.position
                    async for event in store.read(after=self._cursor, until=until, types=TYPES):
                        seen.apply(event)
            except (HistoryDivergedError, HistoryGoneError):
                self._cursor = None  # The log was restored, or trimmed beyond.
            if self._cursor is None or seen.outdated:
                await seen.begin(store, head.position)
            self._cursor, seen.position = head.cursor, head.position
            return await seen.intended(store, from_microseconds(store.clock()))


_readers: WeakKeyDictionary[EventStore, IntendedReader] = WeakKeyDictionary()


async def read_intended(store: EventStore) -> Intended:
    """Return the set that every worker should have now; of one store it is read once as a whole."""
    return await _readers.setdefault(store, IntendedReader()).read(store)
