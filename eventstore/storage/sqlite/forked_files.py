"""SQLite files that were open when this process was forked.

SQLite keeps the locks of a file, and the index of its write-ahead log, per process. A forked child
inherits both as they were, but the system gives it none of the locks: its connections would believe
that they hold them, and the last one to close in the parent would remove the write-ahead log under
the child. Right after the fork the child therefore takes the shared locks that it seems to have.
Where the parent has closed the file by then, what SQLite remembers of it in the child is not true
any more, and the file is refused there.

A thread that is within SQLite at the fork has locks of the library itself, which nothing releases
in the child, and its transaction seems to go on there for ever. So each use is noted. A fork
waits briefly for the end of those that are under way, and the next ones wait for the fork. A child
that was forked during one all the same is refused every database of SQLite.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from eventstore.errors import ForkedError
from eventstore.system import fork_hooks

if TYPE_CHECKING:
    from pathlib import Path

SHARED_FIRST: Final = 0x40000002
SHARED_SIZE: Final = 510
"""The bytes of a database that its users lock, as SQLite's file format fixes them."""

IN_USE: Final = 128
"""The byte of the index of a write-ahead log that its users lock."""

_DELETED: Final = " (deleted)"
_FILES: Final = "/proc/self/fd"

_lost: Final[set[tuple[int, int]]] = set()
"""Device and inode of files whose state in this process is not true."""


_uses: Final[dict[int, int]] = {}
"""Ids of what uses SQLite now, each with its thread; adding and removing one is atomic."""

_connections: Final[WeakSet[object]] = WeakSet()
"""Connections that programs have for themselves, each perhaps in the middle of a query."""

REST_SECONDS: Final = 0.1
"""How long a fork waits at the most for the end of uses, and a new use for a fork."""

_forked: threading.Event | None = None
"""Set after the fork that waits now; ``None`` while none does."""

_forked_in_use = False


def begin_use(user: object) -> None:
    """Note that ``user`` is about to use SQLite, in this thread; wait for a fork that is due."""
    thread = threading.get_ident()
    if (forked := _forked) is not None and thread not in [*_uses.values()]:
        forked.wait(REST_SECONDS)
    _uses[id(user)] = thread


def end_use(user: object) -> None:
    """Note that ``user`` does not use SQLite now."""
    _uses.pop(id(user), None)


def hold_connection(connection: object) -> None:
    """Count a connection as one in use until it is released, or collected."""
    _connections.add(connection)


def release_connection(connection: object) -> None:
    """Count a connection as one in use no longer."""
    _connections.discard(connection)


def check_usable() -> None:
    """Raise ForkedError in a child that was forked while SQLite was in use."""
    if _forked_in_use:
        raise ForkedError(
            "a SQLite database that was being read or written",
            "fork while no thread does that and no connection of a SQL storage is open, or start "
            "the child by 'spawn' or 'forkserver'",
        )


def check_inherited(path: Path) -> None:
    """Raise ForkedError where this process must not open the file, since its parent had it open."""
    check_usable()
    if not _lost:
        return
    with suppress(OSError):
        status = path.stat()
        if (status.st_dev, status.st_ino) in _lost:
            raise ForkedError(
                f"the file {path}",
                "close it before the fork, keep it open until the child has begun, or start the "
                "child by 'spawn' or 'forkserver'",
            )


@fork_hooks.run_before
def _await_rest() -> None:
    """Wait briefly until no other thread is within SQLite, and keep new uses from beginning."""
    global _forked  # noqa: PLW0603 - there is one per process
    _forked = threading.Event()
    thread, end = threading.get_ident(), time.monotonic() + REST_SECONDS
    while any(one != thread for one in [*_uses.values()]) and time.monotonic() < end:
        time.sleep(0.0005)


@fork_hooks.run_after
def _end_rest() -> None:
    """Let new uses begin."""
    global _forked
    forked, _forked = _forked, None
    if forked is not None:
        forked.set()


@fork_hooks.run_in_child
def _judge_uses() -> None:
    """Note whether SQLite was in use at the very moment of the fork."""
    global _forked, _forked_in_use  # noqa: PLW0603 - there is one per process
    _forked = None
    if _uses or _connections:
        _forked_in_use = True


@fork_hooks.run_in_child
def _lock_inherited() -> None:
    """Take the locks of inherited files; note those of which the parent was faster to let go."""
    if not os.path.isdir(_FILES):  # noqa: PTH112 - a path that is fixed
        return
    files: dict[str, list[int]] = {}
    for name in os.listdir(_FILES):  # noqa: PTH208 - in each fork
        with suppress(OSError):
            target = os.readlink(f"{_FILES}/{name}")  # noqa: PTH115
            files.setdefault(target.removesuffix(_DELETED), []).append(int(name))
    for target, indexes in files.items():
        path = target.removesuffix("-shm")
        if path != target and path in files and not _lock(files[path][0], indexes, target):
            for file in files[path]:
                status = os.fstat(file)
                _lost.add((status.st_dev, status.st_ino))


def _lock(database: int, indexes: list[int], name: str) -> bool:
    """Lock a database and its index; return whether that index is still in use at its path."""
    try:
        for index in indexes:
            fcntl.lockf(index, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, IN_USE)
        fcntl.lockf(database, fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED_SIZE, SHARED_FIRST)
        there = os.stat(name)  # noqa: PTH116
        return all(os.path.samestat(os.fstat(index), there) for index in indexes)
    except OSError:
        return False
