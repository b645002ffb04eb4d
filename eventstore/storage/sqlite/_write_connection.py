"""What is done on the connection that writes: one transaction, and emptying the WAL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from eventstore.storage.sqlite.engine import BUSY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.storage.driver import Driver
    from eventstore.storage.sqlite._driver import SqliteDriver

T = TypeVar("T")

SCRUB_MS: Final = 1_000
"""How long emptying the WAL waits for readers to leave, in milliseconds."""


def write_on(driver: SqliteDriver, function: Callable[[Driver], T]) -> T:
    """Call ``function`` in a transaction that writes: commit at the end, or leave nothing."""
    connection = driver.connection
    driver.run("BEGIN IMMEDIATE")
    try:
        result = function(driver)
        driver.run("COMMIT")
    except BaseException:
        connection.rollback()
        if driver.in_transaction:
            driver.run("ROLLBACK")
        raise
    if connection.in_transaction():
        # SQLAlchemy began it for a projection's statements.
        connection.commit()
    return result


def empty_wal(driver: SqliteDriver) -> bool:
    """Write the WAL's content into the database and cut the WAL to nothing.

    Returns whether that worked: readers of an older snapshot prevent it.
    """
    driver.run(f"PRAGMA busy_timeout={SCRUB_MS}")
    try:
        row = driver.row("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        driver.run(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
    return row is not None and row[0] == 0
