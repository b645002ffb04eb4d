"""Reading a log's file without the right to write it: another user's, or on a read-only mount.

Nothing is created: a reader's own ``-wal`` and ``-shm`` would lock out the writer that owns the
file. While a writer has the file open, its ``-wal`` is there, and SQLite reads both under its own
locks. Without a ``-wal`` no writer is at work; the file is then read as an immutable one, and the
read is repeated where a writer has come meanwhile.

Only SQLite opens the file: closing any other descriptor of it would release the locks that
another connection of this process holds.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from eventstore.errors import StorageError
from eventstore.storage.sqlite._driver import SqliteDriver
from eventstore.storage.sqlite.connection import SqliteConnection
from eventstore.storage.sqlite.errors import driver_errors
from eventstore.storage.sqlite.forked_files import check_inherited

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

ATTEMPTS: Final = 100
"""Reads of a file that a writer opens or closes meanwhile, before giving up."""

PAUSE_SECONDS: Final = 0.01
"""Pause after a read that failed: a writer that closes removes two files, one after the other."""

CLOCK_STEP_NS: Final = 20_000_000
"""Longest step of a file system's clock: two changes within it may have one time."""

_Stamp: TypeAlias = tuple[int, ...]


def is_read_only(path: Path) -> bool:
    """Return whether there is such a file, and this process may not write there.

    A writer needs the file's directory too, for the write-ahead log.
    """
    by_effective_user = os.access in os.supports_effective_ids
    return path.exists() and not all(
        os.access(place, os.W_OK, effective_ids=by_effective_user) for place in (path, path.parent)
    )


def connect_read_only(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Connect to a file without creating anything.

    ``immutable`` takes no lock: the caller compares :func:`_stamp` before and after the read.
    Raises ForkedError where the parent of this forked child had the file open.
    """
    check_inherited(path)
    how = "immutable=1" if immutable else "mode=ro&readonly_shm=1"
    return sqlite3.connect(
        f"{path.as_uri()}?{how}", uri=True, isolation_level=None, check_same_thread=False
    )


def read_unlocked(path: Path, function: Callable[[SqliteDriver], T]) -> T:
    """Call ``function`` with a snapshot of the file at ``path``.

    It may be called more than once. Raises StorageError where the file cannot be read without
    writing: after a crash whose ``-shm`` is missing, or while it never rests.
    """
    for attempt in range(1, ATTEMPTS + 1):
        stamp = _stamp(path)
        try:
            result = _read(path, function, immutable=bool(stamp))
        except driver_errors() as error:
            if attempt == ATTEMPTS and _is_left_open(path):
                raise StorageError(
                    str(path),
                    "its last writer has ended without closing it, and what that wrote can be "
                    f"read only by a user who may write to {path.parent}: open it once as such a "
                    "user ('eventstore status'), then read again",
                ) from error
            if attempt == ATTEMPTS or (stamp and stamp == _stamp(path)):
                raise
            time.sleep(PAUSE_SECONDS)
            continue
        if not stamp or stamp == _stamp(path):
            return result
    raise StorageError(str(path), "the file changes all the time: try again")


def _read(path: Path, function: Callable[[SqliteDriver], T], *, immutable: bool) -> T:
    with closing(SqliteConnection(connect_read_only(path, immutable=immutable))) as connection:
        driver = SqliteDriver(connection)
        driver.run("BEGIN")
        try:
            return function(driver)
        finally:
            driver.run("ROLLBACK")


def _is_left_open(path: Path) -> bool:
    """Return whether there is a write-ahead log without the memory that says what is in it."""
    wal, shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    return wal.exists() and not shm.exists()


def _stamp(path: Path) -> _Stamp:
    """Identify the content of a file that no writer has open; empty where one may have."""
    if any(path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-journal")):
        return ()
    status = path.stat()
    # A change within the step of the file system's clock would leave the times as they are.
    age = time.time_ns() - status.st_mtime_ns
    if 0 <= age < CLOCK_STEP_NS:
        time.sleep((CLOCK_STEP_NS - age) / 1e9)
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
