"""SQLite files that were open when this process was forked.

SQLite keeps the locks of a file, and the index of its write-ahead log, per process. A forked child
inherits both as they were, but the system gives it none of the locks: its connections would believe
that they hold them, and the last one to close in the parent would remove the write-ahead log under
the child. Right after the fork the child therefore takes the shared locks that it seems to have.
Where the parent has closed the file by then, what SQLite remembers of it in the child is not true
any more, and the file is refused there.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

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


def check_inherited(path: Path) -> None:
    """Raise ForkedError where this process must not open the file, since its parent had it open."""
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
