"""The rules that a hold keeps in force, and what changes where one begins or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.errors import HistoryGoneError
from eventstore.store.last_events import read_events
from projections.rules.events import RULES
from projections.rules.rules_at import RulesAt, read_changes, read_rules_at

if TYPE_CHECKING:
    from eventstore import Event, EventStore
    from projections.rules.fold import Defined
    from projections.rules.holds import Holds

GONE: Final = (
    "the rules are held at a moment that was trimmed away: release them (eventstore release), or "
    "hold a later moment"
)


class HeldChange(NamedTuple):
    """A rule that is another one since a hold began or ended, None for none.

    ``position`` is that of its definition.
    """

    rule_id: str
    position: int
    rule: Defined | None


class HeldRules:
    """Reads the rules of holds, and keeps those that were read last."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._last: RulesAt | None = None
        self._events: tuple[int, dict[int, Event]] = (-1, {})

    async def at(self, position: int) -> RulesAt:
        """Return the rules as of a position; raise HistoryGoneError where a trim removed them."""
        if self._last is None or self._last.position != position:
            await self._check(position)
            self._last = await read_rules_at(self._store, position)
        return self._last

    async def events(self, position: int) -> list[tuple[Event, Defined]]:
        """Return the definition of each rule as of a position with its event, by id."""
        rules = await self.at(position)
        defined = rules.definitions()
        places = {rule_id: rules.position_of(rule_id) for rule_id in defined}
        if self._events[0] != position:
            self._events = position, await read_events(self._store, places.values())
        events = self._events[1]
        return [(events[places[rule_id]], rule) for rule_id, rule in defined.items()]

    async def event(self, position: int, rule_id: str) -> tuple[Event, Defined] | None:
        """Return the definition of a rule as of a position with its event; None without one."""
        rules = await self.at(position)
        rule, place = rules.definition(rule_id), rules.position_of(rule_id)
        if rule is None:
            return None
        return (await read_events(self._store, [place]))[place], rule

    async def _check(self, position: int) -> None:
        if await self.is_gone(position):
            raise HistoryGoneError(position, (await self._store.head()).first_position, GONE)

    async def is_gone(self, position: int) -> bool:
        """Return whether the rules as of a position were trimmed away."""
        return position < (await self._store.head()).first_position - 1

    async def changes(self, holds: Holds, position: int) -> list[HeldChange]:
        """Return the rules that differ by the event of a hold, each as it is since then, by id.

        Compared are the positions of definitions: one that was changed and changed back is given
        too. Where what stood before was trimmed away, all that is known after it is given.
        """
        before, after = holds.at(position - 1), holds.at(position)
        if before == after:
            return []
        start = position - 1 if before is None else before
        end = position if after is None else after
        gone = await self.is_gone(start)
        if gone:
            old, new = RulesAt(start, {}), await self.at(end)
        else:
            await self._check(end)
            old, new = await read_changes(self._store, start, end)
        found = []
        for stream in sorted(old.versions.keys() | new.versions.keys()):
            rule_id = stream.removeprefix(RULES)
            if not stream.startswith(RULES) or old.position_of(rule_id) == new.position_of(rule_id):
                continue
            rule = new.definition(rule_id)
            if gone or rule is not None or old.definition(rule_id) is not None:
                found.append(HeldChange(rule_id, new.position_of(rule_id), rule))
        return found
