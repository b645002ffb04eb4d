"""The sections ``rules`` and ``sources`` of ``status``: how many there are, who follows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.cli.manifest import StatusEntry
from eventstore.log.clock import from_microseconds
from eventstore.log.redaction import EVENT_REDACTED, REDACTIONS, read_redaction
from projections.rules.events import RULE_DEFINED, RULE_REMOVED, RULES, STATE_TYPES, STATES
from projections.rules.fold import Defined, StateSet
from projections.rules.last_good import LastGood
from projections.rules.sources.lease import NOTE, ignored_counts, source_owners

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from eventstore import Event, EventStore
    from projections.rules.fold import Standing


async def rules(store: EventStore) -> list[StatusEntry]:
    """Return how many rules are defined, and how many states are set and in force.

    The type of a stream's last event says whether its rule is defined, so no rule is read. Only
    streams that end with another type, or of which an event was redacted, are read whole. A last
    definition or removal that is not valid is therefore counted as if it were.
    """
    defined, states = await _count_defined(store), await _count_states(store)
    values: dict[str, object] = {"defined": defined, "states": states}
    line = f"rules: {defined} defined, {states} with a state of their own"
    return [StatusEntry("rules", values, line)]


async def _count_defined(store: EventStore) -> int:
    last = {one.name: one.type async for one in store.streams(RULES)}
    unclear: dict[str, list[Event]] = {
        stream: []
        for stream, type_ in last.items()
        if type_ not in (RULE_DEFINED, RULE_REMOVED, None)  # None: the last event was trimmed.
    }
    async for event in store.read(streams=REDACTIONS, types=(EVENT_REDACTED,), kept=True):
        redaction = read_redaction(event)
        if redaction is not None and redaction.stream in last:
            unclear.setdefault(redaction.stream, []).append(event)
    count = sum(last[stream] == RULE_DEFINED for stream in last.keys() - unclear.keys())
    for stream, redactions in unclear.items():
        count += await _is_defined(store, stream, redactions)
    return count


async def _is_defined(store: EventStore, stream: str, redactions: Iterable[Event]) -> bool:
    """Return whether a rule stands, by all events of its stream and what erased some of them."""
    fold: LastGood[bool] = LastGood(lambda says: isinstance(says, Defined))
    async for event in store.read(streams=stream, kept=True):
        fold.apply(event)
    for event in redactions:
        fold.apply(event)
    return stream in fold.versions and fold.versions[stream].says


async def _count_states(store: EventStore) -> int:
    """Return how many states were set and have neither been erased nor ended."""
    now = from_microseconds(store.clock())
    latest: LastGood[bool] = LastGood(lambda says: _is_in_force(says, now))
    async for event in store.read(streams=STATES, types=STATE_TYPES, kept=True):
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
