"""Dead letters: the events that an outbox has given up, computed from the log.

An outbox is a named consumer, and giving an event up is its rejection. Retries and their outcomes
are events in a stream of their own beside the rejections.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.changes.rejections import CATEGORY, CHANGE_REJECTED, outbox_stream, rejection_stream
from eventstore.errors import InvalidInputError, UnknownConsumerError
from eventstore.log.events import OLDEST, NewEvent, StreamWrite

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from eventstore.log.events import Event
    from eventstore.store.event_store import EventStore

log = logging.getLogger(__name__)

RETRY_REQUESTED: Final = "RetryRequested"
LETTER_DELIVERED: Final = "LetterDelivered"
DELIVERY_FAILED: Final = "DeliveryFailed"


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that an outbox has given up.

    ``position`` and ``stream`` are the event's; ``reason`` says why its last attempt failed, at
    ``failed_at`` (aware, UTC). ``retrying``: a retry was requested and has no outcome yet.
    """

    position: int
    stream: str
    reason: str
    failed_at: datetime
    retrying: bool = False


class _Rejected(msgspec.Struct):
    position: int
    stream: str
    reason: str


class _Requested(msgspec.Struct):
    positions: list[int]


class _Outcome(msgspec.Struct):
    position: int
    reason: str = ""


class Letters:
    """The fold of one outbox's rejections, requests and outcomes, in the order of the log.

    :attr:`dead` has the letters by the position of the event.
    """

    def __init__(self, outbox: str) -> None:
        self.dead: dict[int, DeadLetter] = {}
        self._streams = (rejection_stream(outbox), outbox_stream(outbox))

    def apply(self, event: Event) -> None:
        """Apply an event; others', and those that an import brought in another shape, are not."""
        if event.stream not in self._streams or event.redacted:
            return
        try:
            self._apply(event)
        except msgspec.ValidationError as error:
            log.warning("the event at %d is of no use to an outbox: %s", event.position, error)

    def _apply(self, event: Event) -> None:
        if event.type == CHANGE_REJECTED:
            rejected = msgspec.convert(event.data, _Rejected)
            at = rejected.position
            self.dead[at] = DeadLetter(at, rejected.stream, rejected.reason, event.recorded_at)
        elif event.type == RETRY_REQUESTED:
            for position in msgspec.convert(event.data, _Requested).positions:
                self._change(position, retrying=True)
        elif event.type == LETTER_DELIVERED:
            self.dead.pop(msgspec.convert(event.data, _Outcome).position, None)
        elif event.type == DELIVERY_FAILED:
            failed = msgspec.convert(event.data, _Outcome)
            self._change(
                failed.position,
                reason=failed.reason,
                failed_at=event.recorded_at,
                retrying=False,
            )

    def _change(self, position: int, **values: Any) -> None:
        letter = self.dead.get(position)
        if letter is not None:
            self.dead[position] = msgspec.structs.replace(letter, **values)


async def fold_letters(store: EventStore, outbox: str, until: int | None = None) -> Letters:
    """Return the dead letters of an outbox as of the position ``until``; default the head."""
    letters = Letters(outbox)
    async for event in store.read(after=OLDEST, until=until, streams=CATEGORY):
        letters.apply(event)
    return letters


async def read_dead_letters(store: EventStore, outbox: str) -> list[DeadLetter]:
    """Return what an outbox has given up and not delivered since, by position.

    Raises UnknownConsumerError where the log knows no consumer of that name.
    """
    if outbox not in {state.name for state in await store.consumers()}:
        raise UnknownConsumerError(outbox)
    letters = await fold_letters(store, outbox)
    return [letters.dead[position] for position in sorted(letters.dead)]


async def request_retry(
    store: EventStore, outbox: str, positions: Iterable[int] | None = None, *, by: str = ""
) -> list[DeadLetter]:
    """Ask an outbox to deliver dead letters again: those at ``positions``, or all of them.

    An outbox that runs does so at once, another one when it runs next. Returns these letters;
    appends nothing where there are none. Raises InvalidInputError for a position without a dead
    letter, and UnknownConsumerError.
    """
    dead = {letter.position: letter for letter in await read_dead_letters(store, outbox)}
    wanted = list(dead if positions is None else dict.fromkeys(positions))
    for position in wanted:
        if position not in dead:
            reason = f"outbox {outbox!r} has no dead letter there: 'outbox letters' lists them"
            raise InvalidInputError(f"position {position}", reason)
    if wanted:
        data = {"consumer": outbox, "positions": wanted, "by": by}
        await append_outcome(store, outbox, RETRY_REQUESTED, data)
    return [dead[position] for position in wanted]


async def append_outcome(store: EventStore, outbox: str, type_: str, data: dict[str, Any]) -> None:
    """Append an event to the outbox's own stream."""
    await store.feed.append(StreamWrite(outbox_stream(outbox), [NewEvent(type_, data)]))
