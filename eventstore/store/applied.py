"""Waiting until named consumers and views have done a change, and did not reject it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.changes.rejections import CHANGE_REJECTED, is_rejection
from eventstore.errors import ChangeRejectedError, NotAppliedError, ProjectionError
from eventstore.log.operations import Query
from eventstore.log.told_views import live_views
from eventstore.log.validation import check_names, check_seconds, check_until
from eventstore.store._reader import read_range

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from eventstore.changes.protocol import LogReader
    from eventstore.log.events import Event
    from eventstore.log.operations import ConsumerState, ViewState

POLL_SECONDS: Final = 0.1
"""Time between two reads of the consumers' checkpoints; those are stored every 200 ms."""

_REJECTIONS: Final = Query(types=(CHANGE_REJECTED,), oldest=True)


class Applied(NamedTuple):
    """Those that have done a change."""

    consumers: list[ConsumerState]
    views: list[ViewState]


async def wait_applied(
    log: LogReader,
    position: int,
    consumers: Iterable[str] | None,
    views: Iterable[str] | None,
    timeout: float,
) -> Applied:
    """Return the states of consumers and views once each has done everything up to ``position``.

    See :meth:`eventstore.EventStore.wait_applied`.
    """
    check_until(position)
    timeout = check_seconds("timeout", timeout, zero=True)
    waits = (
        _Consumers(log, position, _named(consumers, views)),
        _Views(log, position, _named(views, consumers)),
    )
    await log.head()  # Raises where the log is not open, also with no name to wait for.
    deadline = time.monotonic() + timeout
    while True:
        done = [await one.look() for one in waits]
        if all(done):
            return Applied(waits[0].states, waits[1].states)
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotAppliedError(position, waits[0].behind() | waits[1].behind(), timeout)
        await log.how.sleep(min(left, POLL_SECONDS))


def _named(names: Iterable[str] | None, others: Iterable[str] | None) -> list[str] | None:
    """Return the names to wait for; ``None`` for all, where nothing was named at all."""
    if names is not None:
        return sorted(set(check_names(names)))
    return None if others is None else []


class _Consumers:
    """Consumers that are waited for; all that are known for ``None``."""

    def __init__(self, log: LogReader, position: int, wanted: list[str] | None) -> None:
        self._log, self._position, self._wanted = log, position, wanted
        self._names: set[str] | None = None if wanted is None else set(wanted)
        self._range = range(0)
        self._checked = position
        self.states: list[ConsumerState] = []

    async def look(self) -> bool:
        """Return whether each has done it; raise ChangeRejectedError where one has rejected it."""
        if self._wanted == []:
            return True
        if not self._range:
            first = await _first_of_commit(self._log, self._position)
            self._range = range(first, self._position + 1)
        if self._names is None:
            self._names = {state.name for state in await self._log.consumers()}
        await self._check_rejections(self._names)
        found = await self._log.consumers(self._wanted)
        self.states = [state for state in found if state.name in self._names]
        if self._wanted is None:
            # One that was removed meanwhile is not waited for.
            self._names = {state.name for state in self.states}
        if self.behind():
            return False
        # A rejected event counts as done. A rejection may have come after the check above.
        await self._check_rejections(self._names)
        return True

    def behind(self) -> dict[str, int | None]:
        """Return where those are that have not done it."""
        reached = {state.name: state.cursor.position for state in self.states}
        names = sorted(self._names or ())
        return {one: reached.get(one) for one in names if reached.get(one, -1) < self._position}

    async def _check_rejections(self, names: Collection[str]) -> None:
        self._checked = await _check_rejections(self._log, self._checked, self._range, names)


class _Views:
    """Views that are waited for; all that a runner follows, in any database, for ``None``."""

    def __init__(self, log: LogReader, position: int, wanted: list[str] | None) -> None:
        self._log, self._position, self._wanted = log, position, wanted
        self.states: list[ViewState] = []

    async def look(self) -> bool:
        """Return whether each has done it; raise ProjectionError where one has stopped before."""
        if self._wanted == []:
            return True
        known = [*await self._log.views(), *live_views(await self._log.told_views())]
        self.states = [one for one in known if self._is_wanted(one)]
        for view in self.states:
            if view.failed_at is not None and view.position < view.failed_at <= self._position:
                raise ProjectionError(view.name, view.failed_at, str(view.reason))
        return not self.behind()

    def _is_wanted(self, view: ViewState) -> bool:
        return view.followed if self._wanted is None else view.name in self._wanted

    def behind(self) -> dict[str, int | None]:
        """Return where those are that have not done it."""
        late: dict[str, int | None] = {
            f"view {view.name}{f' in {view.place}' if view.place else ''}": view.position
            for view in self.states
            if view.position < self._position
        }
        known = {view.name for view in self.states}
        unknown = [f"view {name}" for name in self._wanted or () if name not in known]
        return late | dict.fromkeys(unknown)


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
