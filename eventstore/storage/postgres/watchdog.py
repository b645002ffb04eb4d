"""A time limit for each use of a connection, for networks that have gone silent.

A server's own timeouts do not help where the network to it has frozen, and libpq waits for an
answer without a limit. One thread per backend checks the calls under way and shuts down the
socket of each one that takes too long; the waiting call then fails as with a lost connection.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_SECONDS: Final = 0.5
"""Interval of the checks, and so the most that a limit is exceeded; none while idle."""


@dataclass(eq=False, slots=True)
class Limit:
    """How long something may still take: ``seconds`` from when it last went on."""

    seconds: float
    file: int
    deadline: float = field(init=False)

    def __post_init__(self) -> None:
        self.go_on()

    def go_on(self) -> None:
        """Begin to count again: there was an answer."""
        self.deadline = time.monotonic() + self.seconds


class Watchdog:
    """Limits how long a block may use a connection; see :meth:`limit`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[Limit] = set()
        self._idle = True
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, connection: Any, seconds: float) -> Iterator[Limit]:
        """Break the connection (psycopg's, for its ``fileno``) unless the block ends in time.

        The block may tell the limit that it goes on. Raises OSError without a descriptor left.
        """
        # A descriptor of our own: the driver may close its own within the block, and another
        # connection be given the number.
        limit = Limit(seconds, os.dup(connection.fileno()))
        try:
            with self._changed:
                self._running.add(limit)
                if self._thread is None:
                    self._start()
                elif self._idle:
                    self._changed.notify()
            yield limit
        finally:
            with self._changed:
                self._running.discard(limit)
                os.close(limit.file)
                if self._closed and not self._running:
                    self._changed.notify()

    def close(self) -> None:
        """End the thread, or have it end with the last block that is under way."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = None if self._running else self._thread
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="eventstore-watchdog", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while self._running or not self._closed:
                self._idle = not self._running
                self._changed.wait(None if self._idle else TICK_SECONDS)
                now = time.monotonic()
                for limit in self._running:
                    if now >= limit.deadline:
                        shut_down(limit.file)
            self._thread = None


def shut_down(file: int) -> None:
    """End the connection of a socket, for everyone who has it."""
    with suppress(OSError), socket.socket(fileno=os.dup(file)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
