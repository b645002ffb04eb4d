"""The rules and their states as of a position, from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eventstore.errors import NotServedError
from eventstore.store.last_events import read_last_events
from projections.rules._rule_index import TYPES
from projections.rules.events import RULES, STATES
from projections.rules.fold import Defined, StateSet
from projections.rules.last_good import LastGood, Version, last_good_of
from projections.rules.model import RuleState

if TYPE_CHECKING:
    from eventstore import Event, EventStore
    from projections.rules.fold import Standing
    from projections.rules.model import CompiledRule


class RulesAt(NamedTuple):
    """The last good version of each rule and of each state up to ``position``, by stream."""

    position: int
    versions: dict[str, Version[Standing]]

    def definitions(self) -> dict[str, Defined]:
        """Return the definition of each rule that stood, by rule id, sorted."""
        return {
            says.rule_id: says
            for stream in sorted(self.versions)
            if isinstance(says := self.versions[stream].says, Defined)
        }

    def definition(self, rule_id: str) -> Defined | None:
        """Return the definition of one rule; None where it did not stand."""
        version = self.versions.get(RULES + rule_id)
        return version.says if version is not None and isinstance(version.says, Defined) else None

    def state(self, rule_id: str) -> RuleState:
        """Return the state that was set last; one that has ended since is as it was set."""
        version = self.versions.get(STATES + rule_id)
        says = None if version is None else version.says
        return says.state if isinstance(says, StateSet) else RuleState()

    def stateful(self) -> set[str]:
        """Return the ids of the rules whose state was ever set."""
        return {
            stream.removeprefix(STATES) for stream in self.versions if stream.startswith(STATES)
        }

    def compiled(self) -> list[CompiledRule]:
        """Return every rule that stood, by id, with the state that was set."""
        return [
            defined.compiled(self.state(rule_id)) for rule_id, defined in self.definitions().items()
        ]

    def position_of(self, rule_id: str) -> int:
        """Return the position of the event that a rule's definition or removal is from, or 0."""
        version = self.versions.get(RULES + rule_id)
        return 0 if version is None else version.position

    def contents(self) -> dict[tuple[str | None, str], bytes]:
        """Return the file of each source and path: one of its rules carries the content."""
        return {
            (says.source, says.path): says.content
            for says in self.definitions().values()
            if says.content is not None
        }


async def read_rules_at(store: EventStore, position: int) -> RulesAt:
    """Return what stood at a position, which is at or after the first that the log has.

    What was redacted since stands there as removed, as in every fold of the log. A log behind a
    server is read as a whole.
    """
    while True:
        first = (await store.head()).first_position
        good: LastGood[Standing] = LastGood(lambda says: says)
        if first > 1:
            async for event in store.read(until=first - 1, types=TYPES, kept=True):
                good.apply(event)
        try:
            for category in (RULES, STATES):
                good.versions.update(await _last_good(store, category, position))
        except NotServedError:
            return await fold_rules(store, position)
        if (await store.head()).first_position == first:
            return RulesAt(position, good.versions)


async def _last_good(store: EventStore, category: str, until: int) -> dict[str, Version[Standing]]:
    events = await read_last_events(store, category, until)
    found = last_good_of(events)
    for event in events:
        if event.stream not in found:
            good = await read_last_good(store, event.stream, until)
            found |= {} if good is None else {event.stream: good}
    return {stream: Version(event.position, says) for stream, (event, says) in found.items()}


async def read_last_good(
    store: EventStore, stream: str, until: int
) -> tuple[Event, Standing] | None:
    """Return the last event of a stream that can be in force, up to a position, and its meaning."""
    async for event in store.read(until=until, streams=stream, backwards=True, kept=True):
        if found := last_good_of([event]):
            return found[stream]
    return None


async def fold_rules(store: EventStore, position: int) -> RulesAt:
    """Return the same as :func:`read_rules_at`, by reading every event of rules and states."""
    good: LastGood[Standing] = LastGood(lambda says: says)
    async for event in store.read(until=position, types=TYPES, kept=True):
        good.apply(event)
    return RulesAt(position, good.versions)
