"""The sections ``rules`` and ``sources`` of ``status``: how many there are, who follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.cli.manifest import StatusEntry
from projections.rules.events import RULE_DEFINED, RULE_STATE_SET, RULES, STATES
from projections.rules.sources.lease import NOTE, ignored_counts, source_owners

if TYPE_CHECKING:
    from eventstore import EventStore


async def rules(store: EventStore) -> list[StatusEntry]:
    """Return how many rules are defined, and how many states are set and in force.

    The last event of each stream says so; no rule is read.
    """
    defined = [one async for one in store.streams(RULES) if one.type == RULE_DEFINED]
    states = [one async for one in store.streams(STATES) if one.type == RULE_STATE_SET]
    values: dict[str, object] = {"defined": len(defined), "states": len(states)}
    line = f"rules: {len(defined)} defined, {len(states)} with a state of their own"
    return [StatusEntry("rules", values, line)]


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
