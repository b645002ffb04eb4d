"""The floor of group commit: a thread that drains a queue into one transaction."""

from __future__ import annotations

import asyncio
import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plain import PlainLog, ReadyRow

Caller = TypeVar("Caller")


class _GroupCommit(Generic[Caller]):
    """Writes all that waits in a queue as one commit, then wakes the callers by ``wake``."""

    def __init__(self, log: PlainLog, wake: Callable[[list[Caller]], object]) -> None:
        self._log, self._wake = log, wake
        self._queue: queue.SimpleQueue[tuple[ReadyRow, Caller] | None] = queue.SimpleQueue()
        self.put = self._queue.put
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            group = [first]
            while not self._queue.empty() and (item := self._queue.get()) is not None:
                group.append(item)
            self._log.append([row for row, _ in group])
            self._wake([caller for _, caller in group])


class GroupLoop:
    """A group commit for the tasks of the event loop that runs now."""

    def __init__(self, log: PlainLog) -> None:
        self._loop = asyncio.get_running_loop()
        self._commit: _GroupCommit[asyncio.Future[None]]
        self._commit = _GroupCommit(log, lambda all_: self._loop.call_soon_threadsafe(_wake, all_))
        self.close = self._commit.close

    async def append(self, row: ReadyRow) -> None:
        """Return once the row is durable."""
        done = self._loop.create_future()
        self._commit.put((row, done))
        await done


def _wake(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        future.set_result(None)


class GroupThreads:
    """A group commit for threads."""

    def __init__(self, log: PlainLog) -> None:
        self._commit: _GroupCommit[threading.Lock] = _GroupCommit(log, _release)
        self.close = self._commit.close

    def append(self, row: ReadyRow) -> None:
        """Return once the row is durable."""
        done = threading.Lock()
        done.acquire()
        self._commit.put((row, done))
        done.acquire()


def _release(locks: list[threading.Lock]) -> None:
    for lock in locks:
        lock.release()
