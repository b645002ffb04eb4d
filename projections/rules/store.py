"""The rules seam: load rules with their state, set states, follow both."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.log.clock import from_microseconds
from eventstore.log.events import NewEvent
from eventstore.log.names import check_stream
from eventstore.log.redaction import EVENT_REDACTED, read_redaction
from projections.rules.events import (
    RULE_DEFINED,
    RULE_REMOVED,
    RULE_STATE_EXPIRED,
    RULE_STATE_SET,
    RULES,
    STATES,
)
from projections.rules.model import (
    CompiledRule,
    RuleChange,
    RuleState,
    decode_rule,
    decode_state,
    encode_state,
    removed_rule,
)

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore import Cursor, Event, EventStore, Subscription
    from eventstore.log.redaction import Redaction

_STATE_TYPES: Final = frozenset({RULE_STATE_SET, RULE_STATE_EXPIRED})
_RULE_TYPES: Final = frozenset({RULE_DEFINED, RULE_REMOVED})
_TYPES: Final = _RULE_TYPES | _STATE_TYPES | {EVENT_REDACTED}

PINNED_LOADS: Final = 64
"""Loads remembered for subscriptions to start from. Past it the newest are forgotten,
which costs a later subscriber repeats and never a miss."""


class RuleStore:
    """Rules as an engine sees them, on a log that a master syncs files into.

    Load once, then follow: a subscription starts where a load left off, so nothing between
    the two is lost. With ``consumer`` the log keeps this worker's place under that name,
    and a worker that was down goes on at the next change. Raises the errors of
    :class:`~eventstore.EventStore`.
    """

    def __init__(self, store: EventStore, *, consumer: str | None = None) -> None:
        self._store = store
        self._consumer = consumer
        self._latest: dict[str, Event] = {}
        self._cursor: Cursor | None = None
        self._folding = anyio.Lock()
        self._loads: deque[Cursor] = deque()
        self._started: Cursor | None = None

    async def load_compiled(self) -> list[CompiledRule]:
        """Return every rule that stands, by id, with its current state stamped on.

        The next ``subscribe_changes`` starts from what this saw.
        """
        async with self._folding:
            cursor = await self._fold()
            defined = sorted(
                (stream, event)
                for stream, event in self._latest.items()
                if stream.startswith(RULES) and event.type == RULE_DEFINED and not event.redacted
            )
            rules = [self._compile(event) for _, event in defined]
        if len(self._loads) < PINNED_LOADS:
            self._loads.append(cursor)
        return rules

    async def get_state(self, rule_id: str) -> RuleState:
        """Return a rule's current state: the default for an unknown id or an expired state."""
        async with self._folding:
            await self._fold()
            return self._state_of(rule_id)

    async def set_state(self, rule_id: str, state: RuleState, set_by: str) -> None:
        """Set a rule's state, stamped with who and when; the rule need not exist yet.

        Raises InvalidInputError for an id that cannot be one, and StorageError if the
        state could not be stored.
        """
        stamped = replace(state, set_by=set_by, set_at=self._now())
        event = NewEvent(RULE_STATE_SET, {"rule_id": rule_id, "state": encode_state(stamped)})
        await self._store.append(check_stream(STATES + rule_id), [event])

    def subscribe_changes(self) -> RuleChanges:
        """Follow changes of definitions and states: one item per logged change, in order.

        Starts at the oldest load that no subscription has started from yet, without one at
        the latest position that this program has seen; repeats are possible, misses are
        not. A removed rule comes as a definition with neither ``applies_to`` nor
        ``emits``. An exception in the caller's own code ends nothing: iterate again.
        """
        return RuleChanges(self, self._subscribe())

    def subscribe_commits(self) -> RuleCommits:
        """Follow like :meth:`subscribe_changes`, the changes of each commit together."""
        return RuleCommits(self, self._subscribe())

    async def change_of(self, event: Event) -> RuleChange | None:
        """Return what a logged event means for an engine; ``None`` for nothing.

        A definition carries the rule's current state.
        """
        if (redaction := read_redaction(event)) is not None:
            return await self._change_of_redaction(redaction, event.position)
        change = read_change(event)
        if change is None or not isinstance(change.new_value, CompiledRule):
            return change
        if event.type == RULE_REMOVED or event.redacted:
            return change
        state = await self.get_state(change.rule_id)
        return change._replace(new_value=change.new_value._replace(state=state))

    async def _change_of_redaction(self, redaction: Redaction, at: int) -> RuleChange | None:
        """Return what takes back an event's content; ``None`` where another one stood ``at``."""
        types = _STATE_TYPES if redaction.stream.startswith(STATES) else _RULE_TYPES
        erased: RuleChange | None = None
        span = self._store.read(
            after=redaction.position - 1,
            until=at,
            streams=redaction.stream,
            types=types,
            kept=True,
        )
        async for event in span:
            if (change := read_change(event)) is None:
                continue
            if event.position > redaction.position:
                return None
            erased = change if event.type != RULE_REMOVED else None
        return erased

    def _subscribe(self) -> Subscription:
        if self._loads:
            self._started = self._loads.popleft()
        start = self._started or self._store.feed.newest
        # Below the first position go on with what was kept: the latest word on each rule, and
        # a removal of each one that went. Missing them is what must never happen.
        return self._store.subscribe_changes(
            after=start, types=_TYPES, consumer=self._consumer, kept=True
        )

    async def _fold(self) -> Cursor:
        """Bring the latest event of each stream up to date; the caller holds the lock."""
        head = await self._store.head()
        reader = self._store.read(
            after=self._cursor or 0, until=head.position, types=_TYPES, kept=True
        )
        latest: dict[str, Event] = {}
        async for event in reader:
            if (redaction := read_redaction(event)) is not None:
                await self._erase(redaction)
            else:
                latest[event.stream] = event
        for stream, event in latest.items():
            if read_change(event) is not None:
                self._latest[stream] = event
            else:
                await self._fold_back(stream)
        self._cursor = head.cursor
        return head.cursor

    async def _erase(self, redaction: Redaction) -> None:
        event = self._latest.get(redaction.stream)
        if event is not None and event.position == redaction.position:
            erased = msgspec.structs.replace(event, raw_data=None, raw_metadata=None)
            self._latest[redaction.stream] = erased
        elif event is not None and event.position < redaction.position:
            # It could not be used, and now counts as a removal.
            await self._fold_back(redaction.stream)

    async def _fold_back(self, stream: str) -> None:
        """Find the last good event of a stream that ends in one that nobody can use."""
        async for event in self._store.read_stream(stream, backwards=True):
            if event.type in _TYPES and read_change(event) is not None:
                self._latest[stream] = event
                return
        before = (await self._store.head()).first_position - 1
        kept = self._store.read(until=before, streams=stream, types=_TYPES, kept=True)
        good = [event async for event in kept if read_change(event) is not None]
        if good:
            self._latest[stream] = good[-1]

    def _compile(self, event: Event) -> CompiledRule:
        rule_id = event.stream.removeprefix(RULES)
        return decode_rule(_data(event)["rule"], self._state_of(rule_id))

    def _state_of(self, rule_id: str) -> RuleState:
        event = self._latest.get(STATES + rule_id)
        if event is None or event.redacted:
            return RuleState()
        return decode_state(_data(event)["state"]).effective(self._now())

    def _now(self) -> datetime:
        return from_microseconds(self._store.clock())


def read_change(event: Event) -> RuleChange | None:
    """Return what an event says, before any state is stamped on; ``None`` for nothing.

    What was not written by a master or an operator is of no use to engines: it is passed
    over, and the log shows it as it is.
    """
    try:
        if event.type in _STATE_TYPES and event.stream.startswith(STATES):
            rule_id = event.stream.removeprefix(STATES)
            state = RuleState() if event.redacted else decode_state(_data(event)["state"])
            return RuleChange("state", rule_id, state)
        if not event.stream.startswith(RULES):
            return None
        rule_id = event.stream.removeprefix(RULES)
        if event.type == RULE_REMOVED or (event.type == RULE_DEFINED and event.redacted):
            return RuleChange("definition", rule_id, removed_rule(rule_id))
        if event.type != RULE_DEFINED:
            return None
        return RuleChange("definition", rule_id, decode_rule(_data(event)["rule"]))
    except (KeyError, InvalidInputError):
        return None


def _data(event: Event) -> dict[str, Any]:
    try:
        data = event.data
    except EventStoreError as error:
        raise InvalidInputError(f"event {event.position}", str(error)) from error
    if not isinstance(data, dict):
        raise InvalidInputError(f"event {event.position}", "its data is no object")
    return data


class RuleChanges:
    """An async iterator over single changes; see :meth:`RuleStore.subscribe_changes`."""

    def __init__(self, rules: RuleStore, subscription: Subscription) -> None:
        self._rules = rules
        self.subscription = subscription
        # Taken from the subscription, not given out yet: a cancelled call loses nothing.
        self._taken: Event | None = None
        self._given: Event | None = None

    def __aiter__(self) -> RuleChanges:
        return self

    async def __anext__(self) -> RuleChange:
        while True:
            if self._taken is None:
                self._taken = await anext(self.subscription)
            change = await self._rules.change_of(self._taken)
            self._given, self._taken = self._taken, None
            if change is not None:
                return change

    async def reject(self, reason: str) -> None:
        """Record that this worker cannot use the change it was given last, and why.

        Operators see it in ``eventstore status``. Raises InvalidInputError without a
        ``consumer`` name, and before the first change.
        """
        if self._given is None:
            raise InvalidInputError("reject", "no change has been given out yet")
        await self.subscription.reject(self._given, reason)

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self.subscription.aclose()


class RuleCommits:
    """An async iterator over commits; see :meth:`RuleStore.subscribe_commits`."""

    def __init__(self, rules: RuleStore, subscription: Subscription) -> None:
        self._rules = rules
        self.subscription = subscription
        self._commits = subscription.commits()
        self._taken: list[Event] = []

    def __aiter__(self) -> RuleCommits:
        return self

    async def __anext__(self) -> list[RuleChange]:
        while True:
            if not self._taken:
                _, self._taken = await anext(self._commits)
            changes = [await self._rules.change_of(event) for event in self._taken]
            self._taken = []
            if found := [change for change in changes if change is not None]:
                return found

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self.subscription.aclose()
