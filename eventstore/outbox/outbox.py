"""The outbox: a consumer that delivers each event until it has arrived, or gives it up."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio

from eventstore.changes.rejections import CATEGORY, outbox_stream, rejection_stream
from eventstore.log.events import OLDEST
from eventstore.log.spans import handling_span
from eventstore.log.validation import check_excluded_streams
from eventstore.outbox._delivery import Delivery
from eventstore.outbox._lanes import Lanes
from eventstore.outbox.letters import (
    DELIVERY_FAILED,
    LETTER_DELIVERED,
    DeadLetter,
    Letters,
    append_outcome,
    drop_dead_letters,
    fold_letters,
    read_dead_letters,
    request_retry,
)
from eventstore.system.owners import Unpicklable
from eventstore.system.retry import retry
from eventstore.system.traces import fail_span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from anyio.abc import TaskGroup

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Cursor, Event, Special
    from eventstore.outbox._delivery import Deliver
    from eventstore.store.event_store import EventStore
    from eventstore.system.traces import Spanning

log = logging.getLogger(__name__)

MOST_IN_HAND: Final = 1_000
"""Events that an outbox holds in memory: being delivered, or waiting behind one of its stream."""


class _Item(NamedTuple):
    event: Event
    letter: bool
    """Whether it is a dead letter that is tried again, and no event of the subscription."""


class Outbox(Unpicklable):
    """Delivers the events of a log to something else: a webhook, a queue, a function.

    It is the named consumer ``name``, so the log keeps how far it has come, ``status`` shows its
    lag, and the newest process that runs it takes over. Events of one stream are delivered in
    order, one at a time; of different streams up to ``concurrency`` at the same time.

    A delivery that raises, or takes longer than ``timeout`` seconds, is tried again after a pause
    that doubles from ``first_pause`` to ``longest_pause`` seconds at most, each a random part of
    it; what comes later in its stream waits. After ``attempts`` attempts the event becomes a
    dead letter, with the last reason, and its stream goes on. :meth:`retry` tries those again,
    outside the order of their streams.

    Delivery is at least once: after a crash, events that have arrived may come again. An event's
    ``id`` stays the same, by which a receiver can tell.

    ``streams``, ``types`` and what is excluded are as for ``read``; ``after`` says where a new name
    begins. The outbox's own records are not delivered.
    """

    def __init__(
        self,
        store: EventStore,
        name: str,
        deliver: Deliver,
        *,
        streams: str | None = None,
        types: Iterable[str] | None = None,
        exclude_streams: str | Iterable[str] | None = None,
        exclude_types: Iterable[str] | None = None,
        after: int | Cursor | Special = OLDEST,
        attempts: int = 12,
        concurrency: int = 16,
        timeout: float = 30.0,
        first_pause: float = 0.5,
        longest_pause: float = 300.0,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.delivery = Delivery(
            name,
            deliver,
            attempts=attempts,
            concurrency=concurrency,
            timeout=timeout,
            pauses=(first_pause, longest_pause),
            sleep=sleep,
        )
        own = (rejection_stream(name), outbox_stream(name))
        self._subscribe = partial(
            store.subscribe_changes,
            consumer=name,
            explicit_ack=True,
            after=after,
            streams=streams,
            types=types,
            exclude_streams=(*check_excluded_streams(exclude_streams), *own),
            exclude_types=exclude_types,
        )
        self._store = store
        self._name = name

    async def run(self, *, follow: bool = True) -> None:
        """Deliver until cancelled; with ``follow=False`` until the head, and end.

        Raises what a subscription raises: TakenOverError where another process runs the same
        outbox, HistoryGoneError where events were trimmed that it had not delivered.
        """
        try:
            await self._run(follow=follow)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None

    async def _run(self, *, follow: bool) -> None:
        async with self._subscribe(follow=follow) as changes:
            start = (await self._store.head()).cursor
            letters = await fold_letters(self._store, self._name, start.position)
            async with anyio.create_task_group() as tasks:
                run = _Run(self, changes, letters, tasks)
                await run.retry_requested()
                if follow:
                    tasks.start_soon(run.follow_letters, start)
                async for event in changes:
                    await run.take(_Item(event, letter=False))

    async def dead_letters(self) -> list[DeadLetter]:
        """Return what was given up and not delivered since, by position."""
        return await read_dead_letters(self._store, self._name)

    async def retry(self, *positions: int, by: str = "") -> list[DeadLetter]:
        """Ask for the dead letters at ``positions`` to be delivered again; without any, for all.

        Raises InvalidInputError for a position without a dead letter.
        """
        return await request_retry(self._store, self._name, positions or None, by=by)

    async def drop(self, *positions: int, by: str = "") -> list[DeadLetter]:
        """Take the dead letters at ``positions`` off the list; without any, all of them.

        Raises InvalidInputError for a position without a dead letter.
        """
        return await drop_dead_letters(self._store, self._name, positions or None, by=by)

    async def record(self, type_: str, data: dict[str, Any]) -> None:
        """Append what became of a dead letter; tried again while the database is away."""
        data = {"consumer": self._name, **data}
        await retry(partial(append_outcome, self._store, self._name, type_, data), math.inf)

    def delivery_span(self, event: Event) -> Spanning:
        """Return the span of an event's delivery, pauses between attempts included."""
        return handling_span("deliver", self._name, [event])

    async def read_again(self, position: int) -> Event | None:
        """Return the event at a position; None where a trim has not kept it."""
        async for event in self._store.read(after=position - 1, until=position, kept=True):
            return event
        log.info("outbox %r: the event at %d was trimmed", self._name, position)
        return None

    def follow_letters(self, start: Cursor) -> Subscription:
        """Return the changes of dead letters from ``start`` on."""
        return self._store.subscribe_changes(after=start, streams=CATEGORY)


class _Run:
    """What one run of an outbox has in hand."""

    def __init__(
        self,
        outbox: Outbox,
        changes: Subscription,
        letters: Letters,
        tasks: TaskGroup,
    ) -> None:
        self._outbox = outbox
        self._changes = changes
        self._letters = letters
        self._retried: set[int] = set()
        self._room = anyio.Semaphore(MOST_IN_HAND)
        self._lanes: Lanes[_Item] = Lanes(self._work, tasks)

    async def take(self, item: _Item) -> None:
        """Put an item into the lane of its stream, once there is room for it."""
        await self._room.acquire()
        self._lanes.put(item.event.stream, item)

    async def follow_letters(self, start: Cursor) -> None:
        """Take requests for retries as they come."""
        async with self._outbox.follow_letters(start) as changes:
            async for event in changes:
                self._letters.apply(event)
                await self.retry_requested()

    async def retry_requested(self) -> None:
        """Take the dead letters for which a retry was requested."""
        requested = {at for at, letter in self._letters.dead.items() if letter.retrying}
        self._retried &= requested
        for position in sorted(requested - self._retried):
            self._retried.add(position)
            event = await self._outbox.read_again(position)
            if event is None:
                gone = {"position": position, "reason": "the event was trimmed"}
                await self._outbox.record(DELIVERY_FAILED, gone)
            else:
                await self.take(_Item(event, letter=True))

    async def _work(self, item: _Item) -> None:
        try:
            with self._outbox.delivery_span(item.event) as span:
                reason = await self._outbox.delivery.deliver(item.event)
                if reason is not None:
                    fail_span(span, "given_up")
                await self._conclude(item.event, reason)
            if not item.letter:
                await self._changes.ack(item.event)
        finally:
            self._room.release()

    async def _conclude(self, event: Event, reason: str | None) -> None:
        known = event.position in self._letters.dead
        if reason is None:
            if known:
                await self._outbox.record(LETTER_DELIVERED, {"position": event.position})
        elif known:
            data = {"position": event.position, "reason": reason}
            await self._outbox.record(DELIVERY_FAILED, data)
        else:
            await retry(partial(self._changes.reject, event, reason), math.inf)


def _first(errors: BaseException) -> BaseException:
    while isinstance(errors, BaseExceptionGroup):
        errors = errors.exceptions[0]
    return errors
