"""States with a lifetime end on time, as an event, whether or not anybody reads them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from eventstore.errors import ConflictError, DuplicateEventError, EventStoreError, StorageError
from eventstore.log.clock import to_microseconds
from eventstore.log.events import NewEvent
from projections.rules.events import RULE_STATE_EXPIRED, RULE_STATE_SET, STATES
from projections.rules.model import RuleState, decode_state, encode_state

if TYPE_CHECKING:
    from eventstore import Event, EventStore, Subscription
    from eventstore.log.events import JSON

log = logging.getLogger(__name__)


class StateExpiry:
    """Appends ``RuleStateExpired`` when a state's time has come.

    Any number of processes may run one at a time: the event's id follows from the state
    event and its version is expected, so exactly one is stored, and none where the state
    was set again meanwhile. Time is the store's clock, looked at at least once per the
    store's poll interval.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._pending: dict[str, tuple[int, Event]] = {}

    async def run(self) -> None:
        """End states as their time comes, until cancelled."""
        types = {RULE_STATE_SET, RULE_STATE_EXPIRED}
        changes = self._store.subscribe_changes(streams=STATES, types=types, kept=True)
        async with changes:
            while True:
                await self._take_in(changes)
                await self._expire_due()

    async def _take_in(self, changes: Subscription) -> None:
        """Follow the states until the next one is due, or for one poll interval."""
        wait = self._store.feed.poll
        if self._pending:
            soonest = min(due for due, _ in self._pending.values())
            wait = min(wait, max(0.0, (soonest - self._store.clock()) / 1e6))
        with anyio.move_on_after(wait):
            async for event in changes:
                self._note(event)
                if changes.caught_up:
                    return

    def _note(self, event: Event) -> None:
        self._pending.pop(event.stream, None)
        if event.type != RULE_STATE_SET:
            return
        try:
            state = decode_state(event.data["state"])
        except (EventStoreError, KeyError, TypeError):
            return
        if state.expires_at is not None:
            self._pending[event.stream] = to_microseconds(state.expires_at), event

    async def _expire_due(self) -> None:
        now = self._store.clock()
        for stream, (due, event) in list(self._pending.items()):
            if due <= now:
                await self._expire(stream, event)

    async def _expire(self, stream: str, event: Event) -> None:
        data: dict[str, JSON] = {
            "rule_id": stream.removeprefix(STATES),
            "state": encode_state(RuleState()),
            "ended": event.position,
        }
        ended = NewEvent(RULE_STATE_EXPIRED, data, id=f"expired:{event.id}")
        try:
            await self._store.append(stream, [ended], expected=event.version)
        except (ConflictError, DuplicateEventError):
            log.debug("the state of %s was set again, or ended by another process", stream)
        except StorageError as error:
            if not error.transient:
                raise
            log.warning("the state of %s is ended once that works: %s", stream, error)
            return
        self._pending.pop(stream, None)
