"""Ending what a silent network would keep waiting for ever.

A server's own timeouts do not help where the network between has frozen, and libpq waits
for an answer without a limit. One thread per backend looks at what is under way and shuts
down the socket of whatever takes too long: the waiting call then fails as it does when a
connection is lost.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_SECONDS: Final = 0.5
"""How late the end may come; nothing is looked at while nothing is under way."""


class Watchdog:
    """Limits how long a block may use a connection; see :meth:`limit`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[int, tuple[float, int]] = {}
        self._idle = True
        self._closed = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, connection: Any, seconds: float) -> Iterator[None]:
        """Break the connection (psycopg's, for its ``fileno``) unless the block ends in time."""
        key = id(connection)
        with self._changed:
            self._running[key] = time.monotonic() + seconds, connection.fileno()
            if self._thread is None:
                self._start()
            elif self._idle:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._running[key]

    def extend(self, connection: Any, seconds: float) -> None:
        """Give the block that uses the connection so many seconds from now on."""
        with self._changed:
            _, file = self._running[id(connection)]
            self._running[id(connection)] = time.monotonic() + seconds, file

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="eventstore-watchdog", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                self._idle = not self._running
                self._changed.wait(None if self._idle else TICK_SECONDS)
                now = time.monotonic()
                for deadline, file in self._running.values():
                    if now >= deadline:
                        _shut_down(file)


def _shut_down(file: int) -> None:
    # A descriptor of our own: closing the socket object must not close the driver's.
    with suppress(OSError), socket.socket(fileno=os.dup(file)) as connection:
        connection.shutdown(socket.SHUT_RDWR)
