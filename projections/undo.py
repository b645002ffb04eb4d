"""Undoing one commit of the log, and reverting one stream: by ordinary events, of any seam."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.moments.resolve import commit_at
from projections.memories.events import MEMORIES
from projections.memories.revert import plan_memory
from projections.registry.events import BOTS
from projections.registry.revert import plan_registration
from projections.rules.events import RULES, SOURCES, STATES
from projections.rules.revert import Plan, plan_revert, plan_rules
from projections.seams.reverting import RevertError, revert_metadata

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eventstore import Event, EventStore
    from eventstore.log.events import JSON, StreamWrite

    PlanOne = Callable[[EventStore, str, int, Mapping[str, JSON]], Awaitable[StreamWrite | None]]

PLANNED: Final[dict[str, PlanOne]] = {BOTS: plan_registration, MEMORIES: plan_memory}
"""What restores a stream of a category, beside those of rules and their states."""

RESTORED: Final = f"streams of {RULES}, {STATES}, {BOTS} and {MEMORIES} can be restored"


async def plan_target(
    store: EventStore, target: str, to: int, *, by: str, reason: str = ""
) -> Plan:
    """Plan to restore a rule, a source, or a stream, as of a position; see :func:`plan_revert`."""
    category = target.partition("/")[0] + "/"
    if (plan_one := PLANNED.get(category)) is not None:
        write = await plan_one(store, target, to, revert_metadata(to, by, reason))
        return Plan([] if write is None else [write], [], {})
    return await plan_revert(store, target, to, by=by, reason=reason)


async def plan_undo(store: EventStore, position: int, *, by: str, reason: str = "") -> Plan:
    """Plan to restore what stood before the commit that has the event at a position.

    Raises RevertError where a stream has changed since, and where the commit has a stream that
    cannot be restored. What a master has said of its files (``source/``) stays.
    """
    before, end = await commit_at(store, position)
    target = f"the commit at position {end}"
    last = {event.stream: event async for event in store.read(after=before, until=end)}
    last = {stream: one for stream, one in last.items() if not stream.startswith(SOURCES)}
    for stream, event in last.items():
        await _check_last(store, target, stream, event)
    metadata = revert_metadata(before, by, reason)
    writes: list[StreamWrite] = []
    chosen: dict[str, set[str]] = {RULES: set(), STATES: set()}
    for stream in last:
        category, _, key = stream.partition("/")
        if (keys := chosen.get(f"{category}/")) is not None:
            keys.add(key)
        elif (plan_one := PLANNED.get(f"{category}/")) is not None:
            write = await plan_one(store, stream, before, metadata)
            writes += [] if write is None else [write]
        else:
            raise RevertError(target, f"it has events of {stream!r}: only {RESTORED}")
    if not any(chosen.values()):
        return Plan(writes, [], {})
    rules = await plan_rules(store, chosen[RULES], chosen[STATES], before, by=by, reason=reason)
    return rules._replace(writes=[*rules.writes, *writes])


async def _check_last(store: EventStore, target: str, stream: str, event: Event) -> None:
    async for latest in store.read(streams=stream, backwards=True, limit=1, kept=True):
        if latest.position != event.position:
            reason = f"{stream!r} has changed since, at position {latest.position}: undo that first"
            raise RevertError(target, f"{reason}, or revert the stream to an earlier moment")
