"""Fork at random moments while threads append and read, and use the log in each child.

Arguments: path of a SQLite log, number of forks, seed, way. Each child must get ForkedError from
what it inherited, and either a store of its own that works, or ForkedError at once. Says how many
events were acknowledged in the parent, and how many children ended each way.

The ways, beside the threads: ``threads`` alone; in a ``transaction`` or a ``query`` of the store
that lasts; with a ``connection`` of a SQL storage open.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore import ForkedError, NewEvent
from eventstore.sync import EventStore
from programs.common import say
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from collections.abc import Iterator

THREADS = 2
CHILD_SECONDS = 60
"""A child that hangs is ended, and counted as one that was not told."""

WORKED, REFUSED, WRONG = 0, 1, 2


class Work:
    """Appends and reads in threads, until it is ended; counts what was acknowledged."""

    def __init__(self, store: EventStore, *, appends: bool) -> None:
        self.store = store
        self.appended = [0] * THREADS
        self.read = [0] * THREADS
        self.moved = threading.Condition()
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=function, args=(number,))
            for function in ((self._append,) if appends else ()) + (self._read,)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def _append(self, number: int) -> None:
        while not self._ending.is_set():
            self.store.append(f"parent/{number}", [NewEvent("Done", "x" * 2_000)])
            self.appended[number] += 1
            self._move()

    def _read(self, number: int) -> None:
        while not self._ending.is_set():
            for _ in self.store.read(backwards=True, limit=50):
                pass
            self.read[number] += 1
            self._move()

    def _move(self) -> None:
        with self.moved:
            self.moved.notify_all()

    def progress(self) -> int:
        """Return how many steps were done."""
        return sum(self.appended) + sum(self.read)

    def end(self) -> None:
        """Wait for all threads."""
        self._ending.set()
        for thread in self._threads:
            thread.join()


def child(url: str, inherited: EventStore) -> int:
    """Use what was inherited, and a store of the child's own; return how that ended."""
    try:
        inherited.head()
    except ForkedError:
        pass
    else:
        return WRONG
    try:
        with EventStore.open(url, notify="none") as mine:
            done = mine.append("child/1", [NewEvent("Done", "y" * 2_000)])
            found = [event.position for event in mine.read(after=done.position - 1, limit=1)]
            return WORKED if found == [done.position] else WRONG
    except ForkedError:
        return REFUSED


def fork(url: str, store: EventStore) -> int:
    """Fork, and return the child's process id."""
    pid = os.fork()
    if pid == 0:
        status = WRONG
        signal.alarm(CHILD_SECONDS)
        try:
            status = child(url, store)
        finally:
            os._exit(status)
    return pid


@contextmanager
def lasting(way: str, url: str) -> Iterator[None]:
    """Keep a use of SQLite under way for the block."""
    if way == "threads":
        yield
        return
    if way == "connection":
        with SqlStorage(url, notify="none") as storage, storage.connection() as connection:
            connection.execute("SELECT 1")
            yield
        return
    began, ended = threading.Event(), threading.Event()

    def last(*_: object) -> None:
        began.set()
        ended.wait()

    with EventStore.open(url, notify="none") as store:
        use = store.transact if way == "transaction" else store.query
        thread = threading.Thread(target=use, args=(last,))
        thread.start()
        began.wait()
        yield
        ended.set()
        thread.join()


def main(path: str, forks: int, seed: int, way: str) -> None:
    """Fork so often, and say how it ended."""
    chance, url, ends = random.Random(seed), f"sqlite:///{path}", Counter[str]()
    with EventStore.open(url, notify="none") as store, lasting(way, url):
        work = Work(store, appends=way != "transaction")
        for _ in range(forks):
            goal = work.progress() + chance.randrange(1, 12)
            with work.moved:
                work.moved.wait_for(lambda goal=goal: work.progress() >= goal)  # type: ignore[misc]
            for _ in range(chance.randrange(3_000)):
                pass  # Some part of a step, which no other thread knows of.
            _, status = os.waitpid(fork(url, store), 0)
            ends[{0: "worked", 256: "refused"}.get(status, f"status {status}")] += 1
        work.end()
    say(sum(work.appended), *(f"{name} {count}" for name, count in sorted(ends.items())))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
