"""Commits of git whose changes are in the log, as the metadata of events says.

A master that reads a git work tree adds ``git`` with ``commit``, the newest commit that touched the
file, to the metadata of each event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.moments.written import is_hash
from eventstore.store.metadata_search import read_with_metadata

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore


async def find_synced(store: EventStore, start: str, head: int) -> dict[str, int]:
    """Return where the commits were synced whose hashes begin with ``start``, by hash.

    The files of one commit may have come in several commits of the log, and one that is checked
    out again comes again: the position is the last one at which a stream got the commit for the
    first time. The database searches the metadata of all events up to ``head``.
    """
    first: dict[str, dict[str, int]] = {}
    async for event in read_with_metadata(store, start.encode(), head):
        found = synced_commit(event)
        if found is not None and found.startswith(start):
            first.setdefault(found, {}).setdefault(event.stream, event.commit)
    return {found: max(streams.values()) for found, streams in first.items()}


def synced_commit(event: Event) -> str | None:
    """Return the hash of the commit of git that an event comes from."""
    try:
        git: Any = event.metadata.get("git")
    except ValueError:
        return None
    found = git.get("commit") if isinstance(git, dict) else None
    return found.lower() if isinstance(found, str) and is_hash(found) else None
