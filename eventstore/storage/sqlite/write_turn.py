"""Turns at writing one SQLite file, in the order of arrival.

SQLite's own busy handler sleeps and tries again, so a process that writes steadily starves the
others (a second writer can get nothing for seconds). Two file locks that are taken in order are
fair: the holder of the *gate* is next; it waits for the *writer* lock and then opens the gate.
Each writer of the file takes a turn: appends, acknowledgements and projections.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from eventstore.system.event_loop import check_cancelled
from eventstore.system.file_lock import FileLock, LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

WAIT_SECONDS: Final = 30.0
"""Longest wait for the turn to write, by default."""


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

    def hold(self) -> Self:
        """Return a context that waits for the turn and keeps it for the block.

        Entering it raises LockTimeoutError, which names the process that has the turn.
        """
        return self

    def __enter__(self) -> None:
        deadline = time.monotonic() + self._seconds
        try:
            self._gate.acquire(self._seconds, self._check)
        except LockTimeoutError as error:
            # The gate's holder waits as well: for the one that writes.
            writer = self._writer.find_holder()
            if not writer.pid:
                raise
            raise LockTimeoutError(self._writer.path, self._seconds, writer) from error
        try:
            left = max(0.0, deadline - time.monotonic())
            self._writer.acquire(left, self._check)
        except LockTimeoutError:
            # With the whole time, of which the gate took a part.
            holder = self._writer.find_holder()
            raise LockTimeoutError(self._writer.path, self._seconds, holder) from None
        finally:
            self._gate.release()

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def close(self) -> None:
        """Release both locks and close their files, which stay on disk."""
        self._gate.close()
        self._writer.close()
