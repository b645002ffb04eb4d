"""The rules seam: load rules with their state, set states, follow both."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.events import NewEvent, check_stream, from_microseconds
from projections.rules.events import RULE_DEFINED, RULE_REMOVED, RULE_STATE_SET, RULES, STATES
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
    from collections.abc import AsyncIterator
    from datetime import datetime

    from eventstore import Cursor, Event, EventStore, Subscription

_TYPES: Final = frozenset({RULE_DEFINED, RULE_REMOVED, RULE_STATE_SET})

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
                if stream.startswith(RULES) and event.type == RULE_DEFINED
            )
            rules = [rule for _, event in defined if (rule := self._compile(event)) is not None]
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

    def subscribe_changes(self) -> AsyncIterator[RuleChange]:
        """Follow changes of definitions and states: one item per logged change, in order.

        Starts at the oldest load that no subscription has started from yet, without one at
        the latest position that this program has seen; repeats are possible, misses are
        not. A removed rule comes as a definition with neither ``applies_to`` nor
        ``emits``. An exception in the caller's own code ends nothing: iterate again.
        """
        return RuleChanges(self, self._subscribe())

    def subscribe_commits(self) -> AsyncIterator[list[RuleChange]]:
        """Follow like :meth:`subscribe_changes`, the changes of each commit together."""
        return RuleCommits(self, self._subscribe())

    async def change_of(self, event: Event) -> RuleChange | None:
        """Return what a logged event means for an engine; ``None`` for nothing.

        A definition carries the rule's current state.
        """
        try:
            if event.type == RULE_STATE_SET and event.stream.startswith(STATES):
                rule_id = event.stream.removeprefix(STATES)
                return RuleChange("state", rule_id, decode_state(_data(event)["state"]))
            rule_id = event.stream.removeprefix(RULES)
            if event.type == RULE_REMOVED:
                return RuleChange("definition", rule_id, removed_rule(rule_id))
            state = await self.get_state(rule_id)
            return RuleChange("definition", rule_id, decode_rule(_data(event)["rule"], state))
        except (KeyError, InvalidInputError):
            # Not written by a master: no engine can use it, and the log shows it as it is.
            return None

    def _subscribe(self) -> Subscription:
        if self._loads:
            self._started = self._loads.popleft()
        start = self._started or self._store.seen
        return self._store.subscribe_changes(after=start, types=_TYPES, consumer=self._consumer)

    async def _fold(self) -> Cursor:
        """Bring the latest event of each stream up to date; the caller holds the lock."""
        head = await self._store.head()
        reader = self._store.read(after=self._cursor or 0, until=head.position, types=_TYPES)
        async for event in reader:
            self._latest[event.stream] = event
        self._cursor = head.cursor
        return head.cursor

    def _compile(self, event: Event) -> CompiledRule | None:
        try:
            rule_id = event.stream.removeprefix(RULES)
            return decode_rule(_data(event)["rule"], self._state_of(rule_id))
        except (KeyError, InvalidInputError):
            return None

    def _state_of(self, rule_id: str) -> RuleState:
        event = self._latest.get(STATES + rule_id)
        if event is None:
            return RuleState()
        try:
            return decode_state(_data(event)["state"]).effective(self._now())
        except (KeyError, InvalidInputError):
            return RuleState()

    def _now(self) -> datetime:
        return from_microseconds(self._store.clock())


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

    def __aiter__(self) -> RuleChanges:
        return self

    async def __anext__(self) -> RuleChange:
        while True:
            change = await self._rules.change_of(await anext(self.subscription))
            if change is not None:
                return change

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self.subscription.aclose()


class RuleCommits:
    """An async iterator over commits; see :meth:`RuleStore.subscribe_commits`."""

    def __init__(self, rules: RuleStore, subscription: Subscription) -> None:
        self._rules = rules
        self.subscription = subscription
        self._commits = subscription.commits()

    def __aiter__(self) -> RuleCommits:
        return self

    async def __anext__(self) -> list[RuleChange]:
        while True:
            _, events = await anext(self._commits)
            changes = [await self._rules.change_of(event) for event in events]
            if found := [change for change in changes if change is not None]:
                return found

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self.subscription.aclose()
