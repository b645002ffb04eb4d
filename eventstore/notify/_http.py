"""Wake-ups from a server: one answer without an end, which tells positions as they come.

While it is alive the server polls for all of its clients, and a thread here confirms that nothing
is new, so that no follower asks by itself. Where it ends, by the server, a proxy that lets go of
old connections, or a network that is silent, another one is begun after a random pause, and the
followers read: what came in between is not missed.
"""

from __future__ import annotations

import logging
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import EventStoreError, StorageError
from eventstore.remote.connection import Connection
from eventstore.remote.wire import LIVE_PATH
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import LogIdentity, Wake
    from eventstore.system.secret_url import SecretUrl

log = logging.getLogger(__name__)

SILENCE_SECONDS: Final = 40.0
"""Seconds without a byte after which a connection counts as lost: servers send one every 15 s."""

TICK_SECONDS: Final = 0.5
"""Seconds between two confirmations that nothing is new, while the connection is alive."""

JOIN_SECONDS: Final = 2.0
"""Seconds that closing waits for the thread, which then ends by itself."""


class HttpNotifier:
    """Listens to a server. What this store writes the server itself tells the others."""

    carries_batches = False

    def __init__(self, url: str | SecretUrl) -> None:
        self._connection = Connection(url)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._answer: Any = None
        self._position: int | None = None
        self._wakes = self._connects = 0
        self._trouble = ""

    def start(self, log: LogIdentity, wake: Wake) -> None:  # noqa: ARG002 - the server's
        """Begin to listen."""
        self._wake = wake
        self._thread = threading.Thread(target=self._run, name="eventstore-http", daemon=True)
        self._thread.start()
        threading.Thread(target=self._tick, name="eventstore-http-tick", daemon=True).start()

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:
        """Do nothing: the server tells the others."""

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Do nothing: the server polls for all."""

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        _shut(self._answer)
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)
        self._connection.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, whether it listens, how often it woke, and the present trouble."""
        facts: dict[str, str | int] = {
            "notifier": "http",
            "wake_ups": self._wakes,
            "reconnects": max(0, self._connects - 1),
            "listening": int(self._position is not None),
        }
        return facts | ({"trouble": self._trouble} if self._trouble else {})

    def _run(self) -> None:
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                self._listen(backoff)
            except EventStoreError as error:
                self._report(error)
            self._position = self._answer = None
            self._closing.wait(backoff.next())

    def _listen(self, backoff: Backoff) -> None:
        with self._connection.events(LIVE_PATH, SILENCE_SECONDS) as answer:
            self._answer = answer
            for position in _positions(answer.iter_lines()):
                if self._closing.is_set():
                    return
                if self._position is None:
                    # What came before it could be heard.
                    self._connects += 1
                    self._trouble = ""
                    backoff.reset()
                    self._wake()
                else:
                    self._wake(position)
                self._wakes += 1
                self._position = position

    def _tick(self) -> None:
        while not self._closing.wait(TICK_SECONDS):
            if (position := self._position) is not None:
                self._wake(position)

    def _report(self, error: EventStoreError) -> None:
        if self._closing.is_set() or str(error) == self._trouble:
            return
        self._trouble = str(error)
        level = logging.INFO if isinstance(error, StorageError) else logging.WARNING
        log.log(level, "%s; subscriptions poll meanwhile", error)


def _positions(lines: Iterator[str]) -> Iterator[int]:
    for line in lines:
        field, _, value = line.partition(":")
        if field == "data" and value.strip().isdecimal():
            yield int(value)


def _shut(answer: Any) -> None:
    """End a read of an answer in another thread."""
    if answer is None:
        return
    with suppress(Exception):
        opened = answer.extensions["network_stream"].get_extra_info("socket")
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
