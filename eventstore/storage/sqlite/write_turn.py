"""Turns at writing one SQLite file, in the order of arrival.

SQLite's own busy handler sleeps and tries again, so a process that writes steadily starves the
others (a second writer can get nothing for seconds). Two file locks that are taken in order are
fair: the holder of the *gate* is next; it waits for the *writer* lock and then opens the gate.
Each writer of the file takes a turn: appends, acknowledgements and projections.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from eventstore.storage.sqlite.forked_files import begin_use, end_use
from eventstore.system import fork_hooks
from eventstore.system.event_loop import check_cancelled
from eventstore.system.file_lock import FileLock, LockTimeoutError
from eventstore.system.lock_wait import LockWait

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

WAIT_SECONDS: Final = 30.0
"""Longest wait for the turn to write, by default."""


MOST_PAUSE_SECONDS: Final = 0.1
"""Longest pause between two turns of one that takes many for a long task."""


class WriteTurn:
    """Fair turns, across processes, at writing the database file at ``path``.

    The locks lie beside the database (``NAME-gate``, ``NAME-writer``). One instance serves one
    thread; two instances for one file exclude each other. A wait lasts ``seconds`` at most;
    ``check`` is called meanwhile, and ends it by raising. Raises OSError where the files cannot
    be opened. On Windows turns are not taken: SQLite's own locks keep the file correct there,
    though not fair.
    """

    def __init__(
        self,
        path: Path,
        seconds: float = WAIT_SECONDS,
        check: Callable[[], None] = check_cancelled,
    ) -> None:
        self._seconds = seconds
        self._check = check
        self._gate = FileLock(path.with_name(path.name + "-gate"), path)
        self._writer = FileLock(path.with_name(path.name + "-writer"), path)
        self._wait: LockWait | None = None
        fork_hooks.track(self)

    def hold(self) -> Self:
        """Return a context that waits for the turn and keeps it for the block.

        Entering it raises LockTimeoutError, which names the process that has the turn.
        """
        return self

    def give_way(self, seconds: float) -> None:
        """Pause for so long, up to a limit, where others have the turn or wait for it.

        To be called outside of the turn.
        """
        if self._wait is not None and self._wait.pending:
            return
        free = self._take_free()
        self._gate.release()
        self._writer.release()
        if not free:
            time.sleep(min(seconds, MOST_PAUSE_SECONDS))

    def __enter__(self) -> None:
        try:
            if not self._take_free():
                self._take_in_order()
        except BaseException:
            self._gate.release()
            raise
        begin_use(self)

    def _take_free(self) -> bool:
        """Take the turn where no other process has it; else keep the gate, if that is free."""
        if self._wait is not None and self._wait.pending:
            return False
        if not (self._gate.try_acquire() and self._writer.try_acquire()):
            return False
        self._gate.release()
        return True

    def _take_in_order(self) -> None:
        if self._wait is None:
            self._wait = LockWait(self._gate.fileno(), self._writer.fileno())
        if not self._wait.wait(time.monotonic() + self._seconds, self._check):
            raise self._timed_out()

    def _timed_out(self) -> LockTimeoutError:
        # The gate's holder, which may be this process, waits as well: for the one that writes.
        lock, holder = self._writer, self._writer.find_holder()
        if not holder.pid:
            gate = self._gate.find_holder()
            if gate.pid not in {0, os.getpid()}:
                lock, holder = self._gate, gate
        return LockTimeoutError(lock.path, self._seconds, holder)

    def __exit__(self, *_: object) -> None:
        end_use(self)
        self._writer.release()

    def after_fork(self) -> None:
        """Close the child's copies; the locks close their own."""
        fork_hooks.untrack(self)
        wait, self._wait = self._wait, None
        if wait is not None:
            wait.after_fork()

    def close(self) -> None:
        """Release both locks and close their files, which stay on disk."""
        fork_hooks.untrack(self)
        wait, self._wait = self._wait, None
        if wait is not None:
            # The waiting thread has copies of the open files.
            self._gate.release()
            self._writer.release()
            wait.close()
        self._gate.close()
        self._writer.close()
