"""Writing the table of named consumers: opening one, and storing what it acknowledges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log.events import Cursor
from eventstore.log.operations import ConsumerState
from eventstore.storage.reading import check_cursor, check_owner

if TYPE_CHECKING:
    from eventstore.log.operations import Acknowledge, Head, OpenConsumer
    from eventstore.storage.driver import Driver


def open_consumer(
    driver: Driver, head: Head, operation: OpenConsumer, now_us: int
) -> ConsumerState:
    """Give the consumer a new owner and epoch; make it at ``start`` where it is not there."""
    row = driver.row("SELECT position, hash, epoch FROM consumer WHERE name = ?", (operation.name,))
    if row is None:
        check_cursor(driver, head, operation.start)
        cursor, epoch = operation.start, 1
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
