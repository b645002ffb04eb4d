"""Exclusive locks on files, between processes: ``flock``, with a note that names the holder.

The lock belongs to the open file: the system releases it with the process, however that ended.
A lock file stays on disk, because removing it would let two processes lock two files of one
name. Windows has no ``flock``: there each lock is granted at once, and its users rely on
something else (SQLite's own locks, or a lock within the process).
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Final

from eventstore.errors import StorageError
from eventstore.system import fork_hooks

if sys.platform != "win32":
    import fcntl

MAX_NOTE_BYTES: Final = 65_536
"""The largest note that is read."""

FIRST_WAIT_SECONDS: Final = 0.001
MAX_WAIT_SECONDS: Final = 0.05
"""First and longest pause between two attempts of a wait that has a limit."""

_CLOSED: Final = -1


class LockTimeoutError(StorageError):
    """A lock was not free within the time limit; nothing has changed.

    ``holder`` is the holder's note, or ``process PID`` where there is none; it may be empty.
    """

    def __init__(self, path: Path, seconds: float, holder: str) -> None:
        super().__init__(
            str(path),
            f"is locked by {holder or 'another process'} for more than {seconds:g} s: "
            "wait for it to end, or end it",
            transient=True,
        )
        self.holder = holder


class LockCancelledError(StorageError):
    """A wait for a lock was cancelled by its caller; nothing has changed."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), "the wait for this lock was cancelled")


class FileLock:
    """The lock on the file at ``path``, which is made if it is missing.

    An instance serves one thread at a time. Two instances for one path exclude each other, in
    one process as well. A forked child closes its copy and does not hold the lock. Raises
    OSError where the file cannot be opened or locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fork_hooks.track(self)

    def try_acquire(self) -> bool:
        """Take the lock unless another holds it; return whether that worked."""
        return try_lock(self._file)

    def acquire(
        self, timeout: float | None = None, cancelled: threading.Event | None = None
    ) -> None:
        """Wait for the lock and take it.

        Without ``timeout`` (seconds) and ``cancelled`` the system queues the caller and wakes
        it. A wait with either of them tries again every few milliseconds, and so comes after
        those that wait without. Raises LockTimeoutError, and LockCancelledError once the event
        is set.
        """
        if timeout is None and cancelled is None:
            if sys.platform != "win32":
                fcntl.flock(self._file, fcntl.LOCK_EX)
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = FIRST_WAIT_SECONDS
        event = cancelled or threading.Event()
        while not event.is_set():
            if self.try_acquire():
                return
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LockTimeoutError(self.path, timeout or 0.0, self._holder())
                pause = min(pause, left)
            event.wait(pause)
            pause = min(2 * pause, MAX_WAIT_SECONDS)
        raise LockCancelledError(self.path)

    def release(self) -> None:
        """Release the lock; the file stays open for the next time."""
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock, if it is held, and close the file. May be called twice."""
        fork_hooks.untrack(self)
        file, self._file = self._file, _CLOSED
        if file != _CLOSED:
            os.close(file)

    def after_fork(self) -> None:
        """Close the child's copy, which would hold the lock for as long as the child lives."""
        self.close()

    def write_note(self, note: bytes) -> None:
        """Store what readers of the lock are told about its holder. Raises OSError.

        One write that covers the note before: a reader never finds half of it.
        """
        os.pwrite(self._file, note.ljust(os.fstat(self._file).st_size), 0)

    def read_note(self) -> bytes:
        """Return the last note, padded with spaces; empty where there never was one."""
        return os.pread(self._file, MAX_NOTE_BYTES, 0)

    def _holder(self) -> str:
        note = self.read_note().decode("utf-8", "replace").strip()
        if note:
            return note
        pid = _holding_process(self._file)
        return f"process {pid}" if pid else ""


def try_lock(descriptor: int) -> bool:
    """Lock an open file or directory exclusively unless another holds it; return the outcome."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def read_held_note(path: Path) -> bytes | None:
    """Return the note of the lock file at ``path`` if the lock is held now, else ``None``.

    Raises OSError where the file cannot be read.
    """
    file = os.open(path, os.O_RDONLY)
    try:
        if sys.platform != "win32":
            try:
                # Shared: a look must neither keep out other readers nor pass for a holder.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return os.pread(file, MAX_NOTE_BYTES, 0)
        return None
    finally:
        os.close(file)


def _holding_process(file: int) -> int:
    """Return the process that Linux says holds the lock of an open file; 0 for unknown."""
    inode = os.fstat(file).st_ino
    try:
        lines = Path("/proc/locks").read_text("ascii", "replace").splitlines()
    except OSError:
        return 0
    for line in lines:
        words = line.split()
        # "1: FLOCK ADVISORY WRITE 4711 fe:01:1234 0 EOF"; a waiter has an arrow after "1:".
        if words[1:2] == ["FLOCK"] and words[5].endswith(f":{inode}") and words[4].isdigit():
            return int(words[4])
    return 0
