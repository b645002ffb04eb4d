"""States with a lifetime end on time, by an event, also where no reader asks for them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio

from eventstore.errors import ConflictError, DuplicateEventError, StorageError
from eventstore.log.clock import to_microseconds
from eventstore.log.events import NewEvent
from projections.rules.events import RULE_STATE_EXPIRED, STATE_TYPES, STATES
from projections.rules.fold import StateSet, Unusable, read_event
from projections.rules.model import RuleState, encode_state

if TYPE_CHECKING:
    from eventstore import EventStore, Subscription
    from eventstore.log.events import JSON, Event

log = logging.getLogger(__name__)


class PendingEnd(NamedTuple):
    """A state that will end: when (microseconds), the event that set it, the stream's version."""

    due: int
    event: Event
    version: int


class StateExpiry:
    """Appends ``RuleStateExpired`` when a state's time has come.

    Any number of processes may run one at a time: the event's id follows from the state
    event and its version is expected, so exactly one is stored, and none where the state
    was set again meanwhile. Time is the store's clock, looked at at least once per the
    store's poll interval.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._pending: dict[str, PendingEnd] = {}

    async def run(self) -> None:
        """End states as their time comes, until cancelled."""
        changes = self._store.subscribe_changes(streams=STATES, types=STATE_TYPES, kept=True)
        async with changes:
            while True:
                await self._take_in(changes)
                await self._expire_due()

    async def _take_in(self, changes: Subscription) -> None:
        """Follow the states until the next one is due, or for one poll interval."""
        wait = self._store.feed.poll
        if self._pending:
            soonest = min(pending.due for pending in self._pending.values())
            wait = min(wait, max(0.0, (soonest - self._store.clock()) / 1e6))
        changes.give_up_at(time.monotonic() + wait)  # No read is cut short: none might ever end.
        try:
            async for event in changes:
                self._note(event)
                if changes.caught_up:
                    return
        except StorageError as error:
            if not error.transient:
                raise
            log.info("states are followed once the log can be read again: %s", error)
            await anyio.sleep(self._store.feed.poll)

    def _note(self, event: Event) -> None:
        known = self._pending.get(event.stream)
        match read_event(event):
            case StateSet(state=state, expired=False) if state.expires_at is not None:
                due = to_microseconds(state.expires_at)
                self._pending[event.stream] = PendingEnd(due, event, event.version)
            case Unusable() if known is not None:
                # The last good state stands, and ends: only the stream has grown.
                self._pending[event.stream] = known._replace(version=event.version)
            case _:
                self._pending.pop(event.stream, None)

    async def _expire_due(self) -> None:
        now = self._store.clock()
        for stream, pending in list(self._pending.items()):
            if pending.due <= now:
                await self._expire(stream, pending)

    async def _expire(self, stream: str, pending: PendingEnd) -> None:
        data: dict[str, JSON] = {
            "rule_id": stream.removeprefix(STATES),
            "state": encode_state(RuleState()),
            "ended": pending.event.position,
        }
        ended = NewEvent(RULE_STATE_EXPIRED, data, id=f"expired:{pending.event.id}")
        try:
            await self._store.append(stream, [ended], expected=pending.version)
        except (ConflictError, DuplicateEventError):
            log.debug("the state of %s was set again, or ended by another process", stream)
        except StorageError as error:
            if not error.transient:
                raise
            log.warning("the state of %s has not been ended yet, trying again: %s", stream, error)
            return
        self._pending.pop(stream, None)
