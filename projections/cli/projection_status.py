"""The sections ``projections`` and ``elsewhere`` of ``status``: runs that fail, views elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.cli.manifest import StatusEntry
from projections.cli.view_states import remarks
from projections.elsewhere import read_elsewhere
from projections.tables.view_model import Look
from projections.tables.view_states import describe_views
from projections.troubles import read_troubles

if TYPE_CHECKING:
    from eventstore import EventStore


async def projections(store: EventStore) -> list[StatusEntry]:
    """Return an entry for each run of a projection that fails now."""
    entries = []
    for trouble in await read_troubles(store):
        name = f"{trouble.projection} in {trouble.place}" if trouble.place else trouble.projection
        line = f"projection {name}: fails and is tried again by {trouble.owner}: {trouble.reason}"
        entries.append(StatusEntry(name, msgspec.structs.asdict(trouble), line, trouble.reason))
    return entries


async def elsewhere(store: EventStore) -> list[StatusEntry]:
    """Return an entry for each version of a view in another database, as the log was told of it."""
    told, position = await read_elsewhere(store), (await store.head()).position
    look = Look(position, [], 0.0)
    return [_entry(values) for values in describe_views(look, None, [], "", told, store.clock())]


def _entry(values: dict[str, Any]) -> StatusEntry:
    name = f"{values['name']} in {values['place']}"
    behind = f"{values['lag']} behind" if values["lag"] else "up to date"
    parts = [f"version {values['version']}, {values['state']}, position {values['position']}"]
    parts += [behind, *remarks(values)]
    failed = values["failed_at"]
    fault = "" if failed is None else f"cannot apply {failed}: {values['failure']}"
    return StatusEntry(name, values, f"view {values['name']}: {'; '.join(parts)}", fault)
