"""The rules that a hold keeps in force, and what changes where one begins or ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import HistoryGoneError
from projections.rules.differences import compare_rules
from projections.rules.rules_at import RulesAt, read_rules_at

if TYPE_CHECKING:
    from eventstore import EventStore
    from projections.rules.fold import Defined

GONE: Final = (
    "the rules are held at a moment that was trimmed away: release them (eventstore release), or "
    "hold a later moment"
)


class HeldRules:
    """Reads the rules of holds, and keeps those that were read last."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._last: RulesAt | None = None

    async def at(self, position: int) -> RulesAt:
        """Return the rules as of a position; raise HistoryGoneError where a trim removed them."""
        if self._last is None or self._last.position != position:
            first = (await self._store.head()).first_position
            if position < first - 1:
                raise HistoryGoneError(position, first, GONE)
            self._last = await read_rules_at(self._store, position)
        return self._last

    async def changes(self, before: int, after: int) -> list[tuple[str, Defined | None]]:
        """Return the rules that differ between two positions, each as it is after.

        Where what stood before was trimmed away, all that stand after are given: repeats are
        allowed, misses are not.
        """
        try:
            old = await self.at(before)
        except HistoryGoneError:
            old = RulesAt(before, {})
        new = await self.at(after)
        return [(one.rule_id, one.after) for one in compare_rules(old, new) if one.kind != "state"]
