"""Waiting until named consumers have done a change, and did not reject it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.changes.subscription import CHANGE_REJECTED
from eventstore.errors import ChangeRejectedError, NotAppliedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventstore.log.events import Event
    from eventstore.log.operations import ConsumerState
    from eventstore.store.event_store import EventStore

LOOK_SECONDS: Final = 0.1
"""How often the consumers' stored cursors are looked at; they are stored every 200 ms."""


async def wait_applied(
    store: EventStore, position: int, consumers: Collection[str] | None, timeout: float
) -> list[ConsumerState]:
    """Return the consumers' states once each of them has done everything up to ``position``.

    See :meth:`eventstore.EventStore.wait_applied`.
    """
    first = await _first_of_commit(store, position)
    after, states = position, await store.consumers()
    names = {state.name for state in states} if consumers is None else set(consumers)
    with anyio.move_on_after(timeout):
        while True:
            after = await _check_rejections(store, after, range(first, position + 1), names)
            states = [state for state in await store.consumers() if state.name in names]
            if len(states) == len(names) and all(s.cursor.position >= position for s in states):
                # One that was rejected is done as well; which of the two was stored later?
                await _check_rejections(store, after, range(first, position + 1), names)
                return states
            await anyio.sleep(LOOK_SECONDS)
    reached = {state.name: state.cursor.position for state in states if state.name in names}
    behind = {name: reached.get(name) for name in sorted(names) if reached.get(name, -1) < position}
    raise NotAppliedError(position, behind, timeout)


async def _first_of_commit(store: EventStore, position: int) -> int:
    """Return where the commit of the event at ``position`` begins."""
    first = position
    async for event in store.read(until=position, backwards=True):
        if event.commit < position:
            break
        first = event.position
    return first


async def _check_rejections(
    store: EventStore, after: int, rejected: range, names: Collection[str]
) -> int:
    """Raise ChangeRejectedError for a rejection since ``after``; return where the log ends."""
    async for event in store.read(after=after, types={CHANGE_REJECTED}):
        told = _told(event)
        if told.get("consumer") in names and told.get("position") in rejected:
            raise ChangeRejectedError(
                str(told["consumer"]), int(told["position"]), str(told.get("reason"))
            )
        after = event.position
    return after


def _told(event: Event) -> dict[str, Any]:
    data = event.data
    return data if isinstance(data, dict) else {}
