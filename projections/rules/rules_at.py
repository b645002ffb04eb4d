"""The rules and their states as of a position, from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from eventstore.errors import NotServedError
from eventstore.store.last_events import read_events, read_last_positions
from projections.rules._rule_index import TYPES
from projections.rules.events import RULES, STATES
from projections.rules.fold import Defined, StateSet
from projections.rules.last_good import LastGood, Version, last_good_of
from projections.rules.model import RuleState

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def lacks_contents(self) -> bool:
        """Return whether a definition has its file's content from one that is not here."""
        contents = self.contents()
        return any(
            rule.content is None and (rule.source, rule.path) not in contents
            for rule in self.definitions().values()
        )

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
        try:
            first, kept = await _read_kept(store)
            places = await read_last_positions(store, (RULES, STATES), position)
        except NotServedError:
            return await fold_rules(store, position)
        versions = kept | _versions(await _last_good(store, places, position))
        if (await store.head()).first_position == first:
            return RulesAt(position, versions)


async def read_changes(store: EventStore, one: int, other: int) -> tuple[RulesAt, RulesAt]:
    """Return what stood at two positions, without the streams of which that is the same.

    Other events are not read, but where a rule has its file's content from one of them.
    """
    while True:
        try:
            first, kept = await _read_kept(store)
            places = [await read_last_positions(store, (RULES, STATES), at) for at in (one, other)]
        except NotServedError:
            return await fold_rules(store, one), await fold_rules(store, other)
        names = {stream for stream, _ in places[0].items() ^ places[1].items()}
        found = [
            await _last_good(store, {name: at[name] for name in at.keys() & names}, until)
            for at, until in zip(places, (one, other), strict=True)
        ]
        same = {name for name in names if _says_the_same(name, *found)}
        before, after = (
            RulesAt(
                until,
                {
                    name: version
                    for name, version in (kept | _versions(good)).items()
                    if name in names and name not in same
                },
            )
            for good, until in zip(found, (one, other), strict=True)
        )
        if (await store.head()).first_position != first:
            continue
        if before.lacks_contents() or after.lacks_contents():
            return await read_rules_at(store, one), await read_rules_at(store, other)
        return before, after


Found: TypeAlias = "dict[str, tuple[Event, Standing]]"


def _says_the_same(stream: str, one: Found, other: Found) -> bool:
    """Return whether two events of a state say the same; of definitions the position counts."""
    if not stream.startswith(STATES) or stream not in one or stream not in other:
        return False
    return one[stream][0].raw_data == other[stream][0].raw_data


async def _read_kept(store: EventStore) -> tuple[int, dict[str, Version[Standing]]]:
    """Return the first position, and what is in force by the events that trims have kept."""
    first = (await store.head()).first_position
    good: LastGood[Standing] = LastGood(lambda says: says)
    if first > 1:
        async for event in store.read(until=first - 1, types=TYPES, kept=True):
            good.apply(event)
    return first, good.versions


def _versions(found: Found) -> dict[str, Version[Standing]]:
    return {stream: Version(event.position, says) for stream, (event, says) in found.items()}


async def _last_good(store: EventStore, places: Mapping[str, int], until: int) -> Found:
    """Return the last good event of each stream, of which the last of all is at a place."""
    events = list((await read_events(store, places.values())).values())
    found = last_good_of(events)
    for event in events:
        if event.stream not in found:
            good = await read_last_good(store, event.stream, until)
            found |= {} if good is None else {event.stream: good}
    return found


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
