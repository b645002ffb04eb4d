"""The floor of group commit: a thread that drains a queue into one transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.plain import PlainLog, ReadyRow


class GroupLoop:
    """Writes all that waits in a queue as one commit, then wakes the callers."""

    def __init__(self, log: PlainLog) -> None:
        self._log = log
        self._queue: queue.SimpleQueue[tuple[ReadyRow, asyncio.Future[None]] | None]
        self._queue = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def append(self, row: ReadyRow) -> None:
        """Return once the row is durable."""
        done = self._loop.create_future()
        self._queue.put((row, done))
        await done

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while not self._queue.empty() and (item := self._queue.get()) is not None:
                group.append(item)
            self._log.append([row for row, _ in group])
            self._loop.call_soon_threadsafe(_wake, [done for _, done in group])


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)
