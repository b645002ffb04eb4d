"""Dead letters: the events that an outbox has given up, computed from the log.

An outbox is a named consumer, and giving an event up is its rejection. Retries and their outcomes
are events in a stream of their own beside the rejections.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.changes.rejections import (
    CATEGORY,
    CHANGE_REJECTED,
    outbox_stream,
    rejection_stream,
    rejections_beside,
)
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
LETTERS_DROPPED: Final = "LettersDropped"
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


class _Positions(msgspec.Struct):
    positions: list[int]


class _Outcome(msgspec.Struct):
    position: int
    reason: str = ""


class Letters:
    """The fold of one consumer's rejections, requests and outcomes, in the order of the log.

    ``stream`` is the one of its rejections. :attr:`dead` has the letters by the position of the
    event.
    """

    def __init__(self, stream: str) -> None:
        self.dead: dict[int, DeadLetter] = {}
        self._stream = stream
        self._records: dict[int, dict[str, int]] = {}
        """Of each letter, also of those that are none any more, its last record of each kind."""
        self._last: int | None = None

    def apply(self, event: Event) -> None:
        """Apply an event; others', and those that an import brought in another shape, are not."""
        if rejections_beside(event.stream) != self._stream or event.redacted:
            return
        try:
            self._apply(event)
        except msgspec.ValidationError as error:
            log.warning("the event at %d is of no use to an outbox: %s", event.position, error)

    def _apply(self, event: Event) -> None:
        if event.type == CHANGE_REJECTED:
            rejected = msgspec.convert(event.data, _Rejected)
            at = self._last = rejected.position
            self.dead[at] = DeadLetter(at, rejected.stream, rejected.reason, event.recorded_at)
            self._records[at] = {CHANGE_REJECTED: event.position}
        elif event.type == RETRY_REQUESTED:
            for position in msgspec.convert(event.data, _Positions).positions:
                self._change(event, position, retrying=True)
        elif event.type == LETTER_DELIVERED:
            self._end(event, msgspec.convert(event.data, _Outcome).position)
        elif event.type == LETTERS_DROPPED:
            for position in msgspec.convert(event.data, _Positions).positions:
                self._end(event, position)
        elif event.type == DELIVERY_FAILED:
            failed = msgspec.convert(event.data, _Outcome)
            self._change(
                event,
                failed.position,
                reason=failed.reason,
                failed_at=event.recorded_at,
                retrying=False,
            )

    def _change(self, event: Event, position: int, **values: Any) -> None:
        letter = self.dead.get(position)
        if letter is not None:
            self.dead[position] = msgspec.structs.replace(letter, **values)
            self._records[position][event.type] = event.position

    def _end(self, event: Event, position: int) -> None:
        if self.dead.pop(position, None) is not None:
            self._records[position][event.type] = event.position

    def needed(self) -> set[int]:
        """Return the positions of the events from which the same letters are computed.

        They are, of each letter, its event and its records, and those of the last rejection.
        """
        positions = set(self.dead)
        for at in [*self.dead, *([] if self._last is None else [self._last])]:
            positions.update(self._records[at].values())
        return positions


async def fold_letters(store: EventStore, outbox: str, until: int | None = None) -> Letters:
    """Return the dead letters of an outbox as of the position ``until``; default the head."""
    letters = Letters(rejection_stream(outbox))
    async for event in store.read(after=OLDEST, until=until, streams=CATEGORY, kept=True):
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
    return await _append_about(store, outbox, RETRY_REQUESTED, positions, by)


async def drop_dead_letters(
    store: EventStore, outbox: str, positions: Iterable[int] | None = None, *, by: str = ""
) -> list[DeadLetter]:
    """Take dead letters off the list for good: those at ``positions``, or all of them.

    The next trim keeps nothing for them. Returns and raises what :func:`request_retry` does.
    """
    return await _append_about(store, outbox, LETTERS_DROPPED, positions, by)


async def _append_about(
    store: EventStore, outbox: str, type_: str, positions: Iterable[int] | None, by: str
) -> list[DeadLetter]:
    """Append an event about dead letters; return these."""
    dead = {letter.position: letter for letter in await read_dead_letters(store, outbox)}
    wanted = list(dead if positions is None else dict.fromkeys(positions))
    for position in wanted:
        if position not in dead:
            reason = f"outbox {outbox!r} has no dead letter there: 'outbox letters' lists them"
            raise InvalidInputError(f"position {position}", reason)
    if wanted:
        data = {"consumer": outbox, "positions": wanted, "by": by}
        await append_outcome(store, outbox, type_, data)
    return [dead[position] for position in wanted]


async def append_outcome(store: EventStore, outbox: str, type_: str, data: dict[str, Any]) -> None:
    """Append an event to the outbox's own stream."""
    await store.feed.append(StreamWrite(outbox_stream(outbox), [NewEvent(type_, data)]))
