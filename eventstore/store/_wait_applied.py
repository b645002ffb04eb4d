"""Waiting until named consumers have done a change, and did not reject it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from eventstore.changes.rejections import CHANGE_REJECTED, is_rejection
from eventstore.errors import ChangeRejectedError, NotAppliedError
from eventstore.log.operations import Query
from eventstore.log.validation import check_names, check_seconds, check_until
from eventstore.store._reader import read_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from eventstore.changes.protocol import LogReader
    from eventstore.log.events import Event
    from eventstore.log.operations import ConsumerState

POLL_SECONDS: Final = 0.1
"""Time between two reads of the consumers' checkpoints; those are stored every 200 ms."""

_REJECTIONS: Final = Query(types=(CHANGE_REJECTED,), oldest=True)


async def wait_applied(
    log: LogReader, position: int, consumers: Iterable[str] | None, timeout: float
) -> list[ConsumerState]:
    """Return the consumers' states once each of them has done everything up to ``position``.

    See :meth:`eventstore.EventStore.wait_applied`.
    """
    check_until(position)
    timeout = check_seconds("timeout", timeout, zero=True)
    wanted = None if consumers is None else sorted(set(check_names(consumers)))
    first = await _first_of_commit(log, position)
    after, states = position, await log.consumers(wanted)
    names = {state.name for state in states} if wanted is None else set(wanted)
    deadline = time.monotonic() + timeout
    while True:
        after = await _check_rejections(log, after, range(first, position + 1), names)
        states = [state for state in await log.consumers(wanted) if state.name in names]
        if wanted is None:
            # One that was removed meanwhile is not waited for.
            names = {state.name for state in states}
        if len(states) == len(names) and all(s.cursor.position >= position for s in states):
            # A rejected event counts as done. A rejection may have come after the check above.
            await _check_rejections(log, after, range(first, position + 1), names)
            return states
        left = deadline - time.monotonic()
        if left <= 0:
            break
        await log.how.sleep(min(left, POLL_SECONDS))
    reached = {state.name: state.cursor.position for state in states if state.name in names}
    behind = {name: reached.get(name) for name in sorted(names) if reached.get(name, -1) < position}
    raise NotAppliedError(position, behind, timeout)


async def _first_of_commit(log: LogReader, position: int) -> int:
    """Return where the commit of the event at ``position`` begins."""
    first = position
    async for event in read_range(log, until=position, backwards=True):
        if event.commit < position:
            break
        first = event.position
    return first


async def _check_rejections(
    log: LogReader, after: int, rejected: range, names: Collection[str]
) -> int:
    """Raise ChangeRejectedError for a rejection since ``after``; return where the log ends."""
    begin = max(after, (await log.head()).first_position - 1)
    async for event in read_range(log, after=begin, matching=_REJECTIONS):
        rejection = _rejection(event)
        consumer, place = rejection.get("consumer"), rejection.get("position")
        # An event of this type by another writer may hold anything.
        known = isinstance(consumer, str) and consumer in names
        if known and isinstance(place, int) and place in rejected:
            raise ChangeRejectedError(str(consumer), place, str(rejection.get("reason")))
        after = event.position
    return after


def _rejection(event: Event) -> dict[str, Any]:
    data = event.data if is_rejection(event) else None
    return data if isinstance(data, dict) else {}
