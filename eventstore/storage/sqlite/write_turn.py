"""Taking turns at writing one SQLite file, in the order of arrival.

SQLite's own busy handler sleeps and tries again, so whoever writes steadily starves the
rest (a second appender can get nothing for seconds). Two advisory file locks taken in
order are fair: whoever holds the *gate* is next, waits for the *writer* lock, and lets the
next one through the gate once it writes. Each writer of the file takes them: the log,
acknowledgements and views.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_turns: WeakSet[WriteTurn] = WeakSet()


def _close_in_child() -> None:
    # flock belongs to the open file: a forked child's copy would keep a dead writer's turn.
    for turn in list(_turns):
        turn.close()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_in_child)


class WriteTurn:
    """Fair, cross-process turns at writing the database file at ``path``.

    The locks lie beside the database (``NAME-gate``, ``NAME-writer``), belong to the open
    file and vanish with the process that held them, however it ended. One instance
    serves one thread; two instances on one file exclude each other.
    """

    def __init__(self, path: Path) -> None:
        self._gate = _open(path.with_name(path.name + "-gate"))
        self._writer = _open(path.with_name(path.name + "-writer"))
        _turns.add(self)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Wait for the turn, without a time limit, and keep it for the block."""
        if sys.platform == "win32":
            yield  # SQLite's own locks still keep it correct, only less fair.
            return
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._writer, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock files. They stay on disk: removing one would split the lock."""
        _turns.discard(self)
        os.close(self._gate)
        os.close(self._writer)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
