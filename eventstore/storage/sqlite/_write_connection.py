"""What is done on the connection that writes: one transaction, and emptying the WAL."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Final, TypeVar

from eventstore.storage.sqlite.connection import BUSY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from eventstore.storage.driver import Driver
    from eventstore.storage.sqlite._driver import SqliteDriver

log = logging.getLogger(__name__)
T = TypeVar("T")

SCRUB_MS: Final = 1_000
"""How long emptying the WAL waits for readers to leave, in milliseconds."""


def write_on(driver: SqliteDriver, function: Callable[[Driver], T]) -> T:
    """Call ``function`` in a transaction that writes: commit at the end, or leave nothing."""
    connection = driver.session
    driver.run("BEGIN IMMEDIATE")
    try:
        result = function(driver)
        driver.run("COMMIT")
    except BaseException:
        connection.rollback()
        raise
    connection.end()
    return result


def scrub(driver: SqliteDriver, turn: AbstractContextManager[None], where: str) -> bool:
    """Empty the WAL, whose older frames still hold what was erased; return whether that worked.

    Readers of an older snapshot prevent it. It is then tried again after each later write; closing
    the last connection empties the WAL as well.
    """
    try:
        with turn:
            done = empty_wal(driver)
    except (sqlite3.Error, OSError):
        # The redaction itself is durable; this part is retried after the next write.
        log.warning("%s: the WAL cannot be emptied yet", where, exc_info=True)
        return False
    if not done:
        log.warning("%s: a reader keeps erased content in the WAL for now", where)
    return done


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
