"""The section ``sources`` of ``status``: who follows which directory of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.cli.manifest import StatusEntry
from projections.rules.sources.lease import source_owners

if TYPE_CHECKING:
    from eventstore import EventStore


async def sources(store: EventStore) -> list[StatusEntry]:
    """Return each source that a master follows now, with its owner and its trouble."""
    entries = []
    for source in await source_owners(store):
        trouble = f"; {source.trouble}" if source.trouble else ""
        line = f"source {source.name}: followed by {source.owner}{trouble}"
        entries.append(StatusEntry(source.name, source._asdict(), line, source.trouble))
    return entries
