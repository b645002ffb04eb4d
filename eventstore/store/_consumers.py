"""The named consumers of a store: listed, waited for, removed, rewound; and what workers tell."""

from __future__ import annotations

import difflib
import logging
from typing import TYPE_CHECKING

from eventstore import limits
from eventstore.errors import InvalidInputError, UnknownConsumerError
from eventstore.log.events import Special
from eventstore.log.names import check_name
from eventstore.log.operations import RemoveReport, StoreReport
from eventstore.log.validation import check_after, check_report
from eventstore.store.applied import wait_applied

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.changes.feed import ChangeFeed
    from eventstore.log.events import Cursor
    from eventstore.log.operations import ConsumerState, WorkerReport
    from eventstore.store._log_access import LogAccess

log = logging.getLogger(__name__)


class Consumers:
    """What a store does with named consumers; :class:`eventstore.EventStore` derives from it."""

    owner: str
    feed: ChangeFeed
    _log: LogAccess

    async def consumers(self) -> list[ConsumerState]:
        """Return every named consumer with its checkpoint, by name."""
        return await self._log.consumers()

    async def remove_consumer(self, name: str, *, by: str = "") -> ConsumerState:
        """Remove a named consumer; return its last state.

        It no longer holds back a trim or a wait, and what it has told of itself is removed. A
        subscription that has it open gets ConsumerRemovedError and stores nothing more; who opens
        the name later begins anew.
        ``by`` is for the program's log. Raises UnknownConsumerError.
        """
        check_name("consumer", name, limits.MAX_CONSUMER_BYTES)
        try:
            state = await self.feed.consumers.remove(name)
        except UnknownConsumerError as error:
            raise await self._unknown(name) from error
        position = state.cursor.position
        log.info("consumer %r at position %d was removed by %s", name, position, by or self.owner)
        return state

    async def rewind_consumer(self, name: str, *, to: int | Cursor, by: str = "") -> ConsumerState:
        """Move a named consumer back, so that it gets the events after ``to`` again.

        A subscription that has it open gets TakenOverError; the next one begins after ``to``.
        ``by`` is for the program's log. Raises UnknownConsumerError, InvalidInputError where
        ``to`` lies ahead of the consumer, HistoryGoneError where what follows ``to`` was trimmed,
        and HistoryDivergedError for a Cursor of another history.
        """
        check_name("consumer", name, limits.MAX_CONSUMER_BYTES)
        place = check_after(to)
        if isinstance(place, Special):
            raise InvalidInputError("to=END", "a rewind goes back: give a position or a Cursor")
        try:
            state = await self.feed.consumers.rewind(name, place)
        except UnknownConsumerError as error:
            raise await self._unknown(name) from error
        position = state.cursor.position
        log.info("consumer %r was rewound to position %d by %s", name, position, by or self.owner)
        return state

    async def store_report(self, name: str, report: str) -> None:
        """Store what a worker tells of itself, in the place of what it told before.

        It is kept beside the log, for a week after the last time. Raises LimitExceededError for a
        text of more than 16 KiB.
        """
        check_name("worker", name, limits.MAX_CONSUMER_BYTES)
        await self._log.write(StoreReport(name, check_report(report)))

    async def forget_report(self, name: str) -> None:
        """Remove what a worker has told of itself, if it has."""
        check_name("worker", name, limits.MAX_CONSUMER_BYTES)
        await self._log.write(RemoveReport(name))

    async def reports(self) -> list[WorkerReport]:
        """Return what workers have told of themselves, by name."""
        return await self._log.reports()

    async def _unknown(self, name: str) -> UnknownConsumerError:
        names = [state.name for state in await self._log.consumers()]
        return UnknownConsumerError(name, await self._log.how.in_thread(_nearest, name, names))

    async def skip_gone(self, consumer: str) -> Cursor:
        """Move a named consumer on to the first position, if it is below; return where it is.

        It then never gets the trimmed events: for a consumer that got HistoryGoneError and does
        not need what was kept. Its owner before loses the name.
        """
        return await self.feed.consumers.skip_gone(consumer)

    async def wait_applied(
        self,
        position: int,
        consumers: Iterable[str] | None = None,
        *,
        views: Iterable[str] | None = None,
        timeout: float = 30.0,
    ) -> list[ConsumerState]:
        """Return once named consumers and views have done everything up to ``position``.

        ``views`` are table projections: in the log's database, and those in others of which their
        runners tell the log, every 5 s while they go on. Where neither are named, these are all
        consumers that the log knows, and all views that a runner follows; one that is removed
        meanwhile is not waited for. Returns the consumers. A consumer's checkpoint is stored within
        200 ms, or at once by ``ack(flush=True)``. Raises ChangeRejectedError as soon as one of them
        has rejected an event of the commit at ``position``, ProjectionError where a view has
        stopped at an event up to it, NotAppliedError, a TimeoutError, after ``timeout`` seconds,
        and InvalidInputError for one that is negative or without end.
        """
        return (await wait_applied(self._log, position, consumers, views, timeout)).consumers


def _nearest(name: str, names: Sequence[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    return found[0] if found else ""
