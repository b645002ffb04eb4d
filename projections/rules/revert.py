"""Rules and states as they were: which events restore what stood at a moment.

The events are ordinary definitions, removals and states, which every reader of the log takes as
any other. Nothing is appended here; what is planned expects the versions that were looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.log.clock import from_microseconds
from eventstore.log.events import NewEvent, StreamWrite
from projections.rules.differences import compare_rules
from projections.rules.events import (
    RULE_DEFINED,
    RULE_REMOVED,
    RULE_STATE_SET,
    RULES,
    SOURCE_RENAMED,
    SOURCES,
    STATES,
)
from projections.rules.fold import SourceRenamed, read_event
from projections.rules.given_states import check_state
from projections.rules.model import encode_state
from projections.rules.rules_at import read_rules_at
from projections.rules.sources.lease import source_owners
from projections.seams.reverting import RevertError, revert_metadata

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from eventstore import EventStore
    from eventstore.log.events import JSON
    from projections.rules.differences import RuleDifference
    from projections.rules.fold import Defined
    from projections.rules.rules_at import RulesAt


class SourceFollowedError(RevertError):
    """A master follows the source, and would take the files' word at once; nothing was changed."""

    def __init__(self, target: str, source: str, owner: str) -> None:
        super().__init__(
            target,
            f"source {source!r} is followed by {owner}, which takes the word of the files: "
            "revert the files too (--write), or end it first",
        )
        self.source, self.owner = source, owner


class Plan(NamedTuple):
    """The writes of one commit, what differs by it, and the files that it restores by source.

    The content of a file is None where there was none.
    """

    writes: list[StreamWrite]
    differences: list[RuleDifference]
    files: dict[str, dict[str, bytes | None]]

    def note(self) -> str:
        """Return what follows where the files are not put back; empty where there are none."""
        sources = ", ".join(sorted(self.files))
        return f"the next sync of {sources} takes the word of the files" if sources else ""


NOTHING: Final = Plan([], [], {})


class _Standing(NamedTuple):
    """Both moments, and the sources of the rules by their present names."""

    now: RulesAt
    then: RulesAt
    renames: list[tuple[int, SourceRenamed]]

    def source_of(self, at: RulesAt, rule: Defined) -> str:
        """Return the source of a rule, which may have been renamed since it was defined."""
        source, defined = rule.source or "", at.position_of(rule.rule_id)
        for position, renamed in self.renames:
            if position > defined and renamed.source == source:
                source = renamed.to
        return source

    def files(self) -> Iterator[tuple[tuple[int, str, str], str]]:
        """Yield each file, by moment, source and path, with each rule that it had then."""
        for at in (self.now, self.then):
            for rule in at.definitions().values():
                yield (at.position, self.source_of(at, rule), rule.path), rule.rule_id


async def plan_revert(
    store: EventStore, target: str, to: int, *, by: str, reason: str = ""
) -> Plan:
    """Plan to restore a rule, all rules of a source, or a stream of either or of a state.

    Of a file of several rules all are restored. The states of rules stay as they are, unless
    ``target`` is a state's stream (``rule-state/ID``). Raises RevertError for what neither moment
    has, and where a rule that is not restored has the path of one that is.
    """
    if target.startswith(STATES):
        return await plan_rules(store, (), {target.removeprefix(STATES)}, to, by=by, reason=reason)
    standing = await _look(store, to)
    chosen = _choose(standing, target)
    return await _plan(store, target, standing, chosen, (), by, reason)


async def plan_rules(
    store: EventStore,
    rule_ids: Collection[str],
    states: Collection[str],
    to: int,
    *,
    by: str,
    reason: str = "",
) -> Plan:
    """Plan to restore some rules, and the states of some."""
    standing = await _look(store, to)
    return await _plan(store, f"position {to}", standing, rule_ids, states, by, reason)


async def check_unfollowed(store: EventStore, target: str, plan: Plan) -> None:
    """Raise SourceFollowedError where a master follows a source that a plan changes."""
    for owner in await source_owners(store):
        if owner.name in plan.files:
            raise SourceFollowedError(target, owner.name, owner.owner)


async def _look(store: EventStore, to: int) -> _Standing:
    renames: list[tuple[int, SourceRenamed]] = []
    async for stream in store.streams(SOURCES):
        found = store.read(streams=stream.name, types=(SOURCE_RENAMED,), kept=True)
        renames += [
            (event.position, says)
            async for event in found
            if isinstance(says := read_event(event), SourceRenamed)
        ]
    now = await read_rules_at(store, (await store.head()).position)
    return _Standing(now, await read_rules_at(store, to), sorted(renames, key=lambda one: one[0]))


def _choose(standing: _Standing, target: str) -> set[str]:
    """Return the ids of the rules that a rule, a source, or the stream of either names."""
    files = list(standing.files())
    ids = {rule_id for _, rule_id in files}
    of_source = {rule_id for (_, source, _), rule_id in files if SOURCES + source == target}
    of_source |= {rule_id for (_, source, _), rule_id in files if source == target}
    if target.startswith(RULES) and target.removeprefix(RULES) in ids:
        return _with_their_files(files, {target.removeprefix(RULES)})
    if target in ids and of_source:
        reason = f"it is a rule and a source: name {RULES}{target} or {SOURCES}{target}"
        raise RevertError(repr(target), reason)
    if target in ids:
        return _with_their_files(files, {target})
    if not of_source:
        reason = "it is neither a rule nor a source, now or then, nor a stream that can be reverted"
        raise RevertError(repr(target), reason)
    return of_source


def _with_their_files(files: list[tuple[tuple[int, str, str], str]], chosen: set[str]) -> set[str]:
    """Add the rules that share a file with one that is chosen, at either moment."""
    while True:
        paths = {file for file, rule_id in files if rule_id in chosen}
        more = {rule_id for file, rule_id in files if file in paths}
        if more <= chosen:
            return chosen
        chosen |= more


async def _plan(
    store: EventStore,
    target: str,
    standing: _Standing,
    chosen: Collection[str],
    states: Collection[str],
    by: str,
    reason: str,
) -> Plan:
    now, then = standing.now, standing.then
    metadata = revert_metadata(then.position, by, reason)
    changed = [rule_id for rule_id in sorted(chosen) if _differs(standing, rule_id)]
    _check_paths(standing, target, set(changed))
    removals: list[StreamWrite] = []
    definitions: list[StreamWrite] = []
    for rule_id in changed:
        event = await _restore(store, standing, rule_id, metadata)
        write = StreamWrite(RULES + rule_id, [event], await _version(store, RULES + rule_id, now))
        (removals if event.type == RULE_REMOVED else definitions).append(write)
    for rule_id in sorted(states):
        if (state := _restore_state(store, standing, rule_id, by, metadata)) is not None:
            version = await _version(store, STATES + rule_id, now)
            definitions.append(StreamWrite(STATES + rule_id, [state], version))
    differences = [
        one
        for one in compare_rules(now, then)
        if one.rule_id in (states if one.kind == "state" else changed)
    ]
    return Plan([*removals, *definitions], differences, _files(standing, changed))


async def _version(store: EventStore, stream: str, now: RulesAt) -> int:
    """Return the version that a stream had as the rules were read; 0 where there was none."""
    async for event in store.read(
        streams=stream, until=now.position, backwards=True, limit=1, kept=True
    ):
        return event.version
    return 0


def _differs(standing: _Standing, rule_id: str) -> bool:
    then, now = (
        None
        if (rule := at.definition(rule_id)) is None
        else rule._replace(source=standing.source_of(at, rule))
        for at in (standing.then, standing.now)
    )
    return then != now


def _check_paths(standing: _Standing, target: str, changed: set[str]) -> None:
    """Refuse to give a path back that another rule of the source has now."""
    taken = {
        (standing.source_of(standing.now, rule), rule.path): rule.rule_id
        for rule in standing.now.definitions().values()
        if rule.rule_id not in changed
    }
    for rule_id, rule in standing.then.definitions().items():
        other = taken.get((standing.source_of(standing.then, rule), rule.path))
        if rule_id in changed and other is not None and other != rule_id:
            unchanged = standing.then.definition(other)
            if unchanged is None or unchanged.path != rule.path:
                reason = (
                    f"{rule.path!r} is now the file of rule {other!r}: revert that one, or both"
                )
                raise RevertError(repr(target), f"{reason}, or the source")


async def _restore(
    store: EventStore, standing: _Standing, rule_id: str, metadata: Mapping[str, JSON]
) -> NewEvent:
    """Return the event that makes a rule what it was."""
    then = standing.then.definition(rule_id)
    now = standing.now.definition(rule_id)
    data: dict[str, Any]
    if then is None:
        assert now is not None  # noqa: S101 - it differs
        source = standing.source_of(standing.now, now)
        data = {"rule_id": rule_id, "path": now.path, "source": source}
        return NewEvent(RULE_REMOVED, data, metadata=metadata)
    position = standing.then.position_of(rule_id)
    found = store.read(after=position - 1, until=position, streams=RULES + rule_id, kept=True)
    data = {**(await anext(aiter(found))).data}
    data["previous_path"] = None if now is None else now.path
    data["source"] = standing.source_of(standing.then, then)
    return NewEvent(RULE_DEFINED, data, metadata=metadata)


def _restore_state(
    store: EventStore,
    standing: _Standing,
    rule_id: str,
    by: str,
    metadata: Mapping[str, JSON],
) -> NewEvent | None:
    """Return the event that gives a rule the state it had, without one that has ended since."""
    time = from_microseconds(store.clock())
    then, now = (at.state(rule_id).effective(time) for at in (standing.then, standing.now))
    if then == now:
        return None
    data: JSON = {"rule_id": rule_id, "state": encode_state(check_state(then, by, time))}
    return NewEvent(RULE_STATE_SET, data, metadata=metadata)


def _files(standing: _Standing, changed: list[str]) -> dict[str, dict[str, bytes | None]]:
    """Return the files of the rules that change, as they were, by source and path."""
    found: dict[str, dict[str, bytes | None]] = {}
    for rule_id in changed:
        if (now := standing.now.definition(rule_id)) is not None:
            found.setdefault(standing.source_of(standing.now, now), {}).setdefault(now.path, None)
    contents = standing.then.contents()
    for rule_id in changed:
        if (then := standing.then.definition(rule_id)) is not None:
            files = found.setdefault(standing.source_of(standing.then, then), {})
            files[then.path] = contents.get((then.source, then.path))
    return found
