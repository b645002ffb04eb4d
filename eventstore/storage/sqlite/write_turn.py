"""Turns at writing one SQLite file, in the order of arrival.

SQLite's own busy handler sleeps and tries again, so a process that writes steadily starves the
others (a second writer can get nothing for seconds). Two file locks that are taken in order are
fair: the holder of the *gate* is next; it waits for the *writer* lock and then opens the gate.
Each writer of the file takes a turn: appends, acknowledgements and projections.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.system.file_lock import FileLock

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path


class WriteTurn:
    """Fair turns, across processes, at writing the database file at ``path``.

    The locks lie beside the database (``NAME-gate``, ``NAME-writer``). One instance serves one
    thread; two instances for one file exclude each other. Raises OSError where the files cannot
    be opened. On Windows turns are not taken: SQLite's own locks keep the file correct there,
    though not fair.
    """

    def __init__(self, path: Path) -> None:
        self._gate = FileLock(path.with_name(path.name + "-gate"))
        self._writer = FileLock(path.with_name(path.name + "-writer"))

    @contextmanager
    def hold(
        self, timeout: float | None = None, cancelled: threading.Event | None = None
    ) -> Iterator[None]:
        """Wait for the turn and keep it for the block.

        Without ``timeout`` (seconds, for each of the two locks) the wait has no limit. Raises
        LockTimeoutError and LockCancelledError; see :meth:`FileLock.acquire`.
        """
        self._gate.acquire(timeout, cancelled)
        try:
            self._writer.acquire(timeout, cancelled)
        finally:
            self._gate.release()
        try:
            yield
        finally:
            self._writer.release()

    def close(self) -> None:
        """Release both locks and close their files, which stay on disk."""
        self._gate.close()
        self._writer.close()
