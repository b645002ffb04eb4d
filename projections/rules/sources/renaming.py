"""Giving a source another name: a source that was named by its path can move with its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.log.events import NewEvent, StreamWrite
from eventstore.log.names import check_stream
from projections.rules.events import SOURCE_RENAMED, SOURCES
from projections.rules.sources.lease import SourceLock
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    from eventstore import EventStore


class SourceNameError(EventStoreError):
    """A source cannot be renamed: it is not known, its new name is taken, or it has a master."""


async def rename_source(
    store: EventStore, old: str, new: str, *, by: str | None = None
) -> tuple[int, int]:
    """Give the rules and rejections of the source ``old`` the name ``new``; return their counts.

    One event, ``SourceRenamed``, says so; no rule is defined again, and states and histories
    stay. ``by`` is who renames, for the event's metadata. Raises SourceNameError where ``old``
    has neither rules nor rejections, where ``new`` has rules, and while a master follows
    either; InvalidInputError for a name that cannot be one; ConflictError where the source
    changed meanwhile.
    """
    if old == new or not new:
        raise InvalidInputError("the new name of a source", "must be another one than the old")
    check_stream(SOURCES + new)
    locks = [SourceLock(store, name) for name in (old, new)]
    try:
        for name, lock in zip((old, new), locks, strict=True):
            if not lock.try_acquire():
                owner = lock.owner or "a master"
                raise SourceNameError(f"source {name!r} is followed by {owner}: end it first")
        return await _rename(store, old, new, by)
    finally:
        for lock in locks:
            lock.release()


async def _rename(store: EventStore, old: str, new: str, by: str | None) -> tuple[int, int]:
    standing = StandingRules(old)
    await standing.refresh(store)
    counts = _counts(standing)
    if old not in counts:
        known = ", ".join(sorted(map(repr, counts)))
        others = f"it has {known}" if known else "no source has been synced yet"
        raise SourceNameError(f"the log has no source {old!r}; {others}")
    rules, rejections = counts[old]
    taken = counts.get(new, (0, 0))[0]
    if taken:
        raise SourceNameError(f"source {new!r} has {taken} rules already")
    event = NewEvent(
        SOURCE_RENAMED, {"source": old, "to": new}, metadata={"by": by} if by else None
    )
    stream = standing.source_stream
    expected = standing.versions.get(stream, 0)
    await store.append_many([StreamWrite(stream, [event], expected)])
    return rules, rejections


def _counts(standing: StandingRules) -> dict[str, tuple[int, int]]:
    """Return how many rules and rejections each source has; sources with neither are not there."""
    rules: dict[str, int] = {}
    for rule in standing.rules.values():
        rules[rule.source] = rules.get(rule.source, 0) + 1
    rejected = {source: len(files) for source, files in standing.rejected.items() if files}
    return {name: (rules.get(name, 0), rejected.get(name, 0)) for name in {*rules, *rejected}}
