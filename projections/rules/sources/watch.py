"""Waiting for a directory to change: a watch wakes the master, a timer does where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from eventstore.system.directory_watch import Watcher
from eventstore.system.event_loop import Signal

if TYPE_CHECKING:
    from pathlib import Path


class DirectoryWatch:
    """Wakes a task after changes below a directory. A hint: a look finds out what changed.

    ``count`` rises with every hint. Take it before scanning and give it to :meth:`wait`, so
    that a change during the scan is not missed.
    """

    def __init__(self, root: Path) -> None:
        self._signal = Signal()
        # A scan says that the root is not there.
        self._watcher = Watcher(root, self._signal.set, recursive=True, missing_is_told=True)

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()

    def close(self) -> None:
        """Stop watching; blocks until the watching thread has ended."""
        self._watcher.close()

    @property
    def count(self) -> int:
        """How many hints there were."""
        return self._signal.count

    def take(self) -> frozenset[str] | None:
        """Return the paths that have changed since the last call; None where any may have.

        They are relative to the root, with ``/``. May be called in any thread.
        """
        return self._watcher.take()

    @property
    def trouble(self) -> str:
        """Why the directory cannot be watched; empty while it is, or is not there."""
        return self._watcher.trouble

    async def wait(self, seen: int, timeout: float) -> None:
        """Return once ``count`` is not ``seen`` any more, or after ``timeout`` seconds."""
        await self._signal.wait(seen, timeout, anyio.Event())
