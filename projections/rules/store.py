"""The rules seam: load rules with their state, set states, follow both."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.log.clock import from_microseconds
from eventstore.log.events import NewEvent
from eventstore.log.names import check_stream
from eventstore.moments.resolve import resolve_moment
from eventstore.system.owners import Unpicklable
from projections.rules._held_rules import HeldRules
from projections.rules._rule_changes import Held, RuleChanges, RuleCommits
from projections.rules._rule_index import TYPES, RuleIndex
from projections.rules.events import HOLD, RULE_STATE_SET, STATES
from projections.rules.fold import (
    Defined,
    Erased,
    HoldBegun,
    HoldEnded,
    Meaning,
    Removed,
    StateErased,
    StateSet,
    read_event,
)
from projections.rules.given_states import check_state
from projections.rules.last_good import is_good
from projections.rules.loaded import Engine, LoadedRules
from projections.rules.loaded_report import LoadedReport, encode_report
from projections.rules.model import (
    CompiledRule,
    RuleChange,
    RuleState,
    encode_state,
    removed_rule,
)
from projections.rules.rule_set import IntendedRules, intended_rule
from projections.rules.rule_types import check_types
from projections.seams.checks import check_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from eventstore import Cursor, Event, EventStore, Subscription
    from eventstore.log.events import JSON
    from projections.rules.differences import RuleDifference
    from projections.rules.given_states import RuleStateLike
    from projections.rules.rule_types import RuleTypes

PINNED_LOADS: Final = 64
"""Loads remembered for subscriptions to start from. Past it the newest are forgotten,
which costs a later subscriber repeats and never a miss."""


_HELD_BACK: Final = (Defined, Removed, HoldBegun, HoldEnded)


class RuleStore(Unpicklable):
    """Rules as an engine sees them, on a log that a master syncs files into.

    Load once, then follow: a subscription starts where a load left off, so nothing between
    the two is lost. With ``consumer`` the log keeps this worker's place under that name,
    and a worker that was down goes on at the next change. ``types`` are the classes to build for
    everything that is handed out. Raises ConfigError for types that cannot be built, and the
    errors of :class:`~eventstore.EventStore`.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        consumer: str | None = None,
        types: RuleTypes | None = None,
    ) -> None:
        self._store = store
        self._consumer = consumer
        self._types = check_types(types)
        self._index = RuleIndex(store)
        self._held = HeldRules(store)
        self._intended = IntendedRules()
        self._loaded = LoadedRules(self._types)
        self._refreshing = anyio.Lock()
        self._loads: deque[Cursor] = deque()
        self._started: Cursor | None = None

    async def load_compiled(self) -> list[CompiledRule]:
        """Return every rule that stands, by id, with its current state stamped on.

        While the rules are held, it returns those of the moment at which they are held. The next
        ``subscribe_changes`` starts from what this saw.
        """
        self._store.check_open()
        async with self._refreshing:
            cursor = await self._index.refresh()
            rules = [
                definition.compiled(self._state_of(definition.rule_id))
                for definition in await self._definitions()
            ]
        if len(self._loads) < PINNED_LOADS:
            self._loads.append(cursor)
        return self._types.build_rules(rules)

    async def _definitions(self) -> Iterable[Defined]:
        held = self._index.holds.now
        if held is None:
            return self._index.definitions()
        return (await self._held.at(held)).definitions().values()

    async def get_state(self, rule_id: str) -> RuleState:
        """Return a rule's current state: the default for an unknown id or an expired state."""
        state: RuleState = self._types.build_state(await self._get_state(rule_id))
        return state

    async def _get_state(self, rule_id: str) -> RuleState:
        self._store.check_open()
        async with self._refreshing:
            await self._index.refresh()
            return self._state_of(rule_id)

    async def set_state(self, rule_id: str, state: RuleStateLike, set_by: str) -> None:
        """Set a rule's state, stamped with who and when; the rule need not exist yet.

        ``state`` is a :class:`~projections.rules.RuleState` or any object with its fields, in
        which a naive ``expires_at`` means UTC. Raises InvalidInputError for an id that cannot be
        one and for a field that no state can hold (a ``confidence_max`` outside 0 to 1), and
        StorageError if the state could not be stored.
        """
        stream = check_stream(STATES + check_text("rule_id", rule_id))
        checked = check_state(state, set_by, self._now())
        data: JSON = {"rule_id": stream.removeprefix(STATES), "state": encode_state(checked)}
        await self._store.append(stream, [NewEvent(RULE_STATE_SET, data)])

    async def revert(
        self, target: str, to: int | datetime | str, *, by: str, reason: str = ""
    ) -> list[RuleDifference]:
        """Restore a rule, all rules of a source, or a stream, as of a moment; return what differed.

        ``target`` is the id of a rule, the name of a source, ``rule/ID`` or ``rule-state/ID``;
        ``to`` a moment (:mod:`eventstore.moments`). One commit of ordinary events says it, with
        ``by`` and ``reason`` in their metadata; nothing is appended where all is as it was. The
        states of rules stay, but for a state's stream. A master that looks at the files again
        takes their word. Raises MomentError, RevertError for what cannot be restored,
        SourceFollowedError while a master follows the source, ConflictError where it changes
        meanwhile.
        """
        from projections.rules.revert import check_unfollowed, plan_revert  # noqa: PLC0415 - rare

        moment = await resolve_moment(self._store, to)
        by = check_text("by", by)
        plan = await plan_revert(self._store, target, moment.position, by=by, reason=reason)
        await check_unfollowed(self._store, repr(target), plan)
        if plan.writes:
            await self._store.append_many(plan.writes)
        return plan.differences

    async def report_loaded(
        self,
        loaded: Iterable[Any],
        *,
        rejected: Mapping[str, object] | None = None,
        engine: str = "",
        version: str = "",
        worker: str | None = None,
    ) -> LoadedReport:
        """Tell the log which rules this worker runs; return what was told.

        ``loaded`` are the rules that the engine runs now, as this store handed them out, or only
        their ids; ``rejected`` gives the reason for each that it cannot run. They are compared with
        the rules as of the log's head. The record is kept beside the log under ``worker`` (by
        default the ``consumer``, else ``host:pid``), in the place of an earlier one; ``eventstore
        fleet`` shows it. Tell it after a change and every 30 s:
        :class:`~projections.rules.LoadedReporter` does. Raises InvalidInputError for a name that
        cannot be one and for what is no rule.
        """
        who = Engine(engine, version, self._store.owner)
        return await self._report(self._loaded, loaded, rejected or {}, who, worker)

    async def _report(
        self,
        comparison: LoadedRules,
        loaded: Iterable[Any],
        rejected: Mapping[str, object],
        who: Engine,
        worker: str | None,
    ) -> LoadedReport:
        self._store.check_open()
        async with self._refreshing:
            await self._index.refresh()
            now, at = self._now(), self._index.holds.now
            held = None if at is None else await self._held.at(at)
            intended = self._intended.of(self._index, held, now)
            rule_of = partial(intended_rule, self._index, held)
            report = comparison.report(intended, rule_of, loaded, rejected, who, now)
        name = worker or self._consumer or self._store.owner
        await self._store.store_report(name, encode_report(report))
        return report

    def subscribe_changes(self) -> RuleChanges:
        """Follow changes of definitions and states: one item per logged change, in order.

        Starts at the oldest load that no subscription has started from yet, without one at
        the latest position that this program has seen; repeats are possible, misses are
        not. A removed rule comes as a definition with neither ``applies_to`` nor
        ``emits``. While the rules are held, only states come; where a hold begins or ends, the
        rules that differ by it. An exception in the caller's own code ends nothing: iterate again.
        """
        return RuleChanges(self._changes_of, self._subscribe())

    def subscribe_commits(self) -> RuleCommits:
        """Follow like :meth:`subscribe_changes`, the changes of each commit together."""
        return RuleCommits(self._changes_of, self._subscribe())

    async def change_of(self, event: Event) -> RuleChange | None:
        """Return what a logged event means for an engine; ``None`` for nothing.

        A definition carries the rule's current state. What begins or ends a hold is several
        changes, which only subscriptions give: None.
        """
        changes = await self._changes_of(Held([event], None, None, begins=True))
        return changes[0] if changes and event.stream != HOLD else None

    async def _changes_of(self, held: Held) -> list[RuleChange]:
        """Return what events mean for an engine.

        A definition carries the rule's state as it is when the first event of its commit is
        looked at, or later: that takes one look at the log's head for each commit.
        """
        says = [await self._meaning(event) for event in held.events]
        self._store.check_open()
        async with self._refreshing:
            if held.after is not None and held.until is not None:
                self._index.hold(held.events, held.after, held.until)
            defines = held.begins and any(isinstance(meaning, Defined) for meaning in says)
            # Whether the rules were held there decides what other events of rules mean.
            behind = self._index.position < held.events[-1].position
            if defines or (behind and any(isinstance(one, _HELD_BACK) for one in says)):
                await self._index.refresh()
            changes: list[RuleChange] = []
            for event, meaning in zip(held.events, says, strict=True):
                changes += await self._change(event, meaning)
        return self._types.build_commit(changes)

    async def _meaning(self, event: Event) -> Meaning | None:
        says: Meaning | None = read_event(event)
        if isinstance(says, Erased):
            good_since = await self._has_good_between(says.stream, says.position, event.position)
            return None if good_since else says.instead
        return says

    async def _change(self, event: Event, says: Meaning | None) -> list[RuleChange]:
        match says:
            case StateSet(rule_id, state):
                return [RuleChange("state", rule_id, state)]
            case StateErased(rule_id):
                return [RuleChange("state", rule_id, RuleState())]
            case Defined() | Removed() if self._index.holds.at(event.position) is None:
                return [self._definition(says.rule_id, says if isinstance(says, Defined) else None)]
            case HoldBegun() | HoldEnded():
                return await self._hold_changes(event.position)
        return []

    def _definition(self, rule_id: str, rule: Defined | None) -> RuleChange:
        new = removed_rule(rule_id) if rule is None else rule.compiled(self._state_of(rule_id))
        return RuleChange("definition", rule_id, new)

    async def _hold_changes(self, position: int) -> list[RuleChange]:
        """Return what changes by the event that begins or ends a hold."""
        changes = await self._held.changes(self._index.holds, position)
        return [self._definition(one.rule_id, one.rule) for one in changes]

    async def _has_good_between(self, stream: str, after: int, until: int) -> bool:
        """Return whether a stream has a good event in the range ``(after, until]``."""
        span = self._store.read(after=after, until=until, streams=stream, types=TYPES, kept=True)
        return any([is_good(event) async for event in span])

    def _subscribe(self) -> Subscription:
        if self._loads:
            self._started = self._loads.popleft()
        start = self._started or self._store.feed.log.newest
        # Below the first position go on with what was kept: the last good version of each
        # rule, and the removal of each rule that went. Repeats are allowed, misses are not.
        return self._store.subscribe_changes(
            after=start, types=TYPES, consumer=self._consumer, kept=True
        )

    def _state_of(self, rule_id: object) -> RuleState:
        state = self._index.state(rule_id) if isinstance(rule_id, str) else None
        return RuleState() if state is None else state.effective(self._now())

    def _now(self) -> datetime:
        return from_microseconds(self._store.clock())
