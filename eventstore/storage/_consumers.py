"""Writing the table of named consumers: opening, acknowledging, removing, rewinding."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import HistoryGoneError, InvalidInputError, UnknownConsumerError
from eventstore.log.events import Cursor
from eventstore.log.operations import ConsumerState, OpenConsumer, RemoveConsumer, RewindConsumer
from eventstore.storage.reading import check_cursor, check_owner, hash_at
from eventstore.storage.reports import remove_report

if TYPE_CHECKING:
    from eventstore.log.operations import Acknowledge, ConsumerOperation, Head
    from eventstore.storage.driver import Driver

_OPENINGS: Final = 256
"""New names within one microsecond that get epochs of their own."""

_made: Final = count()


def write_consumer(
    driver: Driver, head: Head, operation: ConsumerOperation, now_us: int
) -> ConsumerState | None:
    """Carry out what is asked for a consumer; return its state, ``None`` for what it has done."""
    if isinstance(operation, OpenConsumer):
        return open_consumer(driver, head, operation, now_us)
    if isinstance(operation, RemoveConsumer):
        return remove_consumer(driver, head, operation)
    if isinstance(operation, RewindConsumer):
        return rewind_consumer(driver, head, operation, now_us)
    acknowledge(driver, operation, now_us)
    return None


def open_consumer(
    driver: Driver, head: Head, operation: OpenConsumer, now_us: int
) -> ConsumerState:
    """Give the consumer a new owner and epoch; make it at ``start`` where it is not there."""
    row = _read(driver, operation.name)
    if row is None:
        if operation.start is None:
            raise UnknownConsumerError(operation.name)
        check_cursor(driver, head, operation.start)
        cursor, epoch = operation.start, _first_epoch(now_us)
        driver.run(
            "INSERT INTO consumer (position, hash, epoch, owner, seen_us, name) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (cursor.position, cursor.hash, epoch, operation.owner, now_us, operation.name),
        )
    else:
        cursor, epoch = Cursor(head.log_id, row[0], row[1]), row[2] + 1
        driver.run(
            "UPDATE consumer SET epoch = ?, owner = ?, seen_us = ? WHERE name = ?",
            (epoch, operation.owner, now_us, operation.name),
        )
    return ConsumerState(operation.name, cursor, epoch, operation.owner, now_us)


def _first_epoch(now_us: int) -> int:
    """Return the epoch of a new name: one that no consumer of that name had before.

    A removed consumer leaves nothing behind. Were the epochs of a new one to begin at 1, an
    acknowledgement of the removed one's owner could match.
    """
    return now_us * _OPENINGS + next(_made) % _OPENINGS


def acknowledge(driver: Driver, operation: Acknowledge, now_us: int) -> None:
    """Store a consumer's cursor; raise TakenOverError where another owns it by now."""
    touched = driver.run(
        "UPDATE consumer SET position = ?, hash = ?, seen_us = ? WHERE name = ? AND epoch = ?",
        (
            operation.cursor.position,
            operation.cursor.hash,
            now_us,
            operation.name,
            operation.epoch,
        ),
    )
    if touched == 0:
        check_owner(driver, operation.name, operation.epoch)


def remove_consumer(driver: Driver, head: Head, operation: RemoveConsumer) -> ConsumerState:
    """Delete a consumer, and what it has told of itself; return what it was."""
    row = _read(driver, operation.name)
    if row is None:
        if operation.removed is None:
            raise UnknownConsumerError(operation.name)
        return operation.removed
    driver.run("DELETE FROM consumer WHERE name = ?", (operation.name,))
    remove_report(driver, operation.name)
    position, digest, epoch, owner, seen_us = row
    operation.removed = ConsumerState(
        operation.name, Cursor(head.log_id, position, digest), epoch, owner, seen_us
    )
    return operation.removed


def rewind_consumer(
    driver: Driver, head: Head, operation: RewindConsumer, now_us: int
) -> ConsumerState:
    """Move a consumer back, under a new epoch: its owner loses it."""
    row = _read(driver, operation.name)
    if row is None:
        raise UnknownConsumerError(operation.name)
    cursor = _rewound(driver, head, operation, at=row[0])
    epoch = row[2] + 1
    driver.run(
        "UPDATE consumer SET position = ?, hash = ?, epoch = ?, owner = ?, seen_us = ? "
        "WHERE name = ?",
        (cursor.position, cursor.hash, epoch, operation.owner, now_us, operation.name),
    )
    return ConsumerState(operation.name, cursor, epoch, operation.owner, now_us)


def _rewound(driver: Driver, head: Head, operation: RewindConsumer, *, at: int) -> Cursor:
    """Return where a consumer that is at ``at`` goes; raise where it may not."""
    to = operation.to
    if isinstance(to, Cursor):
        check_cursor(driver, head, to)
        to = to.position
    earliest = head.first_position - 1
    if to < earliest:
        raise HistoryGoneError(
            to, head.first_position, f"rewind the consumer to {earliest} at the earliest"
        )
    # One that is below the first position can only go on to it.
    if to > max(at, earliest):
        raise InvalidInputError(
            f"position {to}",
            f"lies ahead of consumer {operation.name!r}, which is at {at}: a rewind goes back; "
            "to pass events over, remove the consumer and begin it anew after them",
        )
    return Cursor(head.log_id, to, hash_at(driver, head, to))


def _read(driver: Driver, name: str) -> tuple[Any, ...] | None:
    return driver.row(
        "SELECT position, hash, epoch, owner, seen_us FROM consumer WHERE name = ?", (name,)
    )
