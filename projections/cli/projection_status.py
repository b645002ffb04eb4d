"""The section ``projections`` of ``status``: which runs fail and are tried again, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from eventstore.cli.manifest import StatusEntry
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
