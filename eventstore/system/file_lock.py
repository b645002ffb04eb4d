"""Exclusive locks on files, between processes: ``flock``, with a note that names the holder.

The lock belongs to the open file: the system releases it with the process, however that ended.
A lock file stays on disk, because removing it would let two processes lock two files of one
name. Windows has no ``flock``: there each lock is granted at once, and its users rely on
something else (SQLite's own locks, or a lock within the process).
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from eventstore.errors import StorageError
from eventstore.system import fork_hooks
from eventstore.system.file_holders import find_holder
from eventstore.system.lock_wait import LockWait
from eventstore.system.safe_files import DEFAULT_MODE, open_regular

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore.system.file_holders import Holder

if sys.platform != "win32":
    import fcntl

MAX_NOTE_BYTES: Final = 65_536
"""The largest note that is read."""

NEW_MODE: Final = 0o644
"""Permissions of a lock file that is like no other file, less the process's umask."""

_CLOSED: Final = -1


class LockTimeoutError(StorageError):
    """A lock was not free within the time limit; nothing has changed.

    ``holder`` is the holder's note, or describes its process; it may be empty. ``pid`` is that
    process, 0 where it is not known (another host or container), ``host`` and ``command`` are
    where it runs and its command line, empty where they are not known. ``seconds`` is the limit.
    """

    def __init__(self, path: Path, seconds: float, holder: Holder) -> None:
        super().__init__(
            str(path),
            f"is locked by {holder.text or 'another process'} for more than {seconds:g} s: "
            f"wait for it to end, {'let it go on (SIGCONT), ' if holder.stopped else ''}or end it",
            timed_out=True,
        )
        self.seconds = seconds
        self.holder = holder.text
        self.pid = holder.pid
        self.host = holder.host
        self.command = holder.command


class LockCancelledError(StorageError):
    """A wait for a lock was cancelled by its caller; nothing has changed."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(str(path), "the wait for this lock was cancelled", timed_out=True)


class FileLock:
    """The lock on the file at ``path``, which is made if it is missing.

    A new file gets the permissions and the owner of the file ``like``; one that may only be read
    is locked all the same. An instance serves one thread at a time. Two instances for one path
    exclude each other, in one process as well. A forked child closes its copy and does not hold
    the lock. Raises OSError where the file cannot be opened or locked; a link, a pipe or a
    directory at ``path`` is none that can.
    """

    def __init__(self, path: Path, like: Path | None = None) -> None:
        self.path = path
        self._file = _open(path, like)
        self._wait: LockWait | None = None
        fork_hooks.track(self)

    def try_acquire(self) -> bool:
        """Take the lock unless another holds it; return whether that worked."""
        if self._wait is not None and self._wait.pending:
            return False
        return try_lock(self._file)

    def acquire(
        self, timeout: float | None = None, check: Callable[[], None] | None = None
    ) -> None:
        """Wait for the lock and take it, in the order of the system's queue.

        Raises LockTimeoutError after ``timeout`` seconds. ``check`` is called 20 times a second;
        what it raises ends the wait.
        """
        if self.try_acquire():
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._wait is None:
            self._wait = LockWait(self._file)
        if not self._wait.wait(deadline, check):
            raise LockTimeoutError(self.path, timeout or 0.0, self.find_holder())

    def fileno(self) -> int:
        """Return the descriptor of the open file, -1 once it is closed."""
        return self._file

    def release(self) -> None:
        """Release the lock; the file stays open for the next time."""
        self._unlock(self._file)

    @staticmethod
    def _unlock(file: int) -> None:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Release the lock, if it is held, and close the file. May be called twice."""
        fork_hooks.untrack(self)
        file, self._file = self._file, _CLOSED
        wait, self._wait = self._wait, None
        if file != _CLOSED:
            if wait is not None:
                self._unlock(file)  # The waiting thread has a copy of the open file.
                wait.close()
            os.close(file)

    def after_fork(self) -> None:
        """Close the child's copies, which would hold the lock for as long as the child lives."""
        fork_hooks.untrack(self)
        if self._file != _CLOSED:
            os.close(self._file)
            if self._wait is not None:
                self._wait.after_fork()
        self._file, self._wait = _CLOSED, None

    def write_note(self, note: bytes) -> None:
        """Store what readers of the lock are told about its holder. Raises OSError.

        One write that covers the note before: a reader never finds half of it.
        """
        os.pwrite(self._file, note.ljust(os.fstat(self._file).st_size), 0)

    def read_note(self) -> bytes:
        """Return the last note, padded with spaces; empty where there never was one."""
        return os.pread(self._file, MAX_NOTE_BYTES, 0)

    def find_holder(self) -> Holder:
        """Return who holds the lock, by its note or by what the system knows."""
        note = self.read_note().decode("utf-8", "replace").strip()
        return find_holder(self._file, note)


def _open(path: Path, like: Path | None) -> int:
    """Open a lock file, made like another file if it is missing, for as much as is allowed."""
    try:
        model = None if like is None else like.stat()
    except FileNotFoundError:
        model = None
    mode = NEW_MODE if model is None else stat.S_IMODE(model.st_mode) & DEFAULT_MODE
    try:
        file = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        try:
            return open_regular(path, os.O_RDWR)
        except OSError as error:
            if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS}:
                raise
            return open_regular(path)
    if model is not None:
        with suppress(OSError):
            os.fchmod(file, mode)
        if os.geteuid() == 0 and (model.st_uid, model.st_gid) != (0, 0):
            with suppress(OSError):
                os.fchown(file, model.st_uid, model.st_gid)
    return file


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
    file = open_regular(path)
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
