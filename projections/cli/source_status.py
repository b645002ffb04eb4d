"""The sections ``rules`` and ``sources`` of ``status``: how many there are, who follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.cli.manifest import StatusEntry
from eventstore.log.clock import from_microseconds
from projections.rules.events import (
    RULE_DEFINED,
    RULE_STATE_EXPIRED,
    RULE_STATE_SET,
    RULES,
    STATES,
)
from projections.rules.fold import StateSet
from projections.rules.last_good import LastGood
from projections.rules.sources.lease import NOTE, ignored_counts, source_owners

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore import EventStore
    from projections.rules.fold import Standing


async def rules(store: EventStore) -> list[StatusEntry]:
    """Return how many rules are defined, and how many states are set and in force.

    The last event of each stream says whether a rule is defined; no rule is read.
    """
    defined = [one async for one in store.streams(RULES) if one.type == RULE_DEFINED]
    states = await _count_states(store)
    values: dict[str, object] = {"defined": len(defined), "states": states}
    line = f"rules: {len(defined)} defined, {states} with a state of their own"
    return [StatusEntry("rules", values, line)]


async def _count_states(store: EventStore) -> int:
    """Return how many states were set and have neither been erased nor ended."""
    now = from_microseconds(store.clock())
    latest: LastGood[bool] = LastGood(lambda says: _is_in_force(says, now))
    types = (RULE_STATE_SET, RULE_STATE_EXPIRED)
    async for event in store.read(streams=STATES, types=types, kept=True):
        latest.apply(event)
    return sum(version.says for version in latest.versions.values())


def _is_in_force(says: Standing, now: datetime) -> bool:
    if not isinstance(says, StateSet) or says.expired:
        return False
    expires_at = says.state.expires_at
    return expires_at is None or expires_at > now


async def sources(store: EventStore) -> list[StatusEntry]:
    """Return each source that a master follows now, with its owner and its trouble."""
    entries = []
    for source in await source_owners(store):
        trouble = f"; {source.trouble}" if source.trouble else ""
        line = f"source {source.name}: followed by {source.owner}{trouble}"
        fault = "" if source.trouble.startswith(NOTE) else source.trouble
        entries.append(StatusEntry(source.name, source._asdict(), line, fault))
    return entries


async def ignored(store: EventStore) -> list[StatusEntry]:
    """Return each source of which files are ignored by their names, with their number."""
    return [
        StatusEntry(
            source,
            {"source": source, "ignored": count},
            f"{count} file{'' if count == 1 else 's'} ignored in source {source}",
        )
        for source, count in (await ignored_counts(store)).items()
    ]
