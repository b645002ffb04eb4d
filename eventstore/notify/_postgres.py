"""Waking subscriptions by LISTEN and NOTIFY, on a connection of its own.

A notification carries a position and nothing else, and is sent after the commit: inside the
transaction it would hold a lock of the whole server until the commit is done. One thread
listens, publishes and sends heartbeats, because a session that died is silent. After every
reconnect it listens first and wakes the subscriptions second, so that they read what they may
have missed.
"""

from __future__ import annotations

import logging
import selectors
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg

from eventstore.storage.postgres.connection import connect, connection_info
from eventstore.storage.postgres.watchdog import Watchdog
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import LogIdentity, Wake
    from eventstore.system.secret_url import SecretUrl

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 5.0
"""Interval of the heartbeats, and the time that an answer may take."""


class PostgresNotifier:
    """Listens and notifies on the channel of the schema that the log lives in.

    A proxy that pools transactions gives no session to listen on: name the server itself,
    or rely on the timed reads with ``notify="none"``.
    """

    carries_batches = False

    def __init__(self, url: str | SecretUrl) -> None:
        self._info = connection_info(url)
        self._wake: Wake | None = None
        self._incarnation = ""
        self._published = -1
        self._position = -1
        self._seen: int | None = None
        self._closing = False
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wakes = 0
        self._connects = 0
        self._listening = False
        self._error = ""

    def start(self, log: LogIdentity, wake: Wake) -> None:
        """Begin to listen."""
        self._incarnation = log.incarnation
        self._wake = wake
        self._ensure_thread()
        self._wake_thread()

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:  # noqa: ARG002
        """Hand the position to the thread. Never waits, never raises."""
        self._incarnation = log.incarnation
        self._position = position
        self._ensure_thread()
        self._wake_thread()

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Hand the position to the thread, to be sent unless there is a newer one."""
        self._incarnation = log.incarnation
        self._seen = position
        self._wake_thread()

    def close(self) -> None:
        """Stop, once what was published last has been sent or has failed."""
        self._closing = True
        if self._thread is not None:
            self._wake_thread()
            self._thread.join()
            self._wake_writer.close()
            self._wake_reader.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, how often it woke and connected, and the present trouble.

        ``listening`` is there once it was asked to, and 1 while the server does.
        """
        facts: dict[str, str | int] = {"notifier": "postgres", "wakes": self._wakes}
        facts["reconnects"] = max(0, self._connects - 1)
        if self._wake is not None:
            facts["listening"] = int(self._listening)
        return facts | ({"trouble": self._error} if self._error else {})

    def _ensure_thread(self) -> None:
        with self._started:
            if self._thread is None:
                self._wake_writer, self._wake_reader = socket.socketpair()
                self._wake_writer.setblocking(False)
                self._wake_reader.setblocking(False)
                self._thread = threading.Thread(
                    target=self._run, name="eventstore-listener", daemon=True
                )
                self._thread.start()

    def _wake_thread(self) -> None:
        # A full buffer: the thread will wake anyway. A closed socket: it has ended.
        with suppress(OSError):
            self._wake_writer.send(b"!")

    def _run(self) -> None:
        watchdog, backoff = Watchdog(), Backoff()
        try:
            while not self._closing:
                try:
                    self._serve(watchdog, backoff)
                except (psycopg.Error, OSError) as error:
                    self._listening = False
                    self._report(" ".join(str(error).split()))
                    if not self._closing:
                        self._pause(backoff.next())
        finally:
            watchdog.close()

    def _report(self, error: str) -> None:
        if error != self._error:
            log.warning("cannot listen: %s; subscriptions poll meanwhile", error)
        self._error = error

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._closing and (left := until - time.monotonic()) > 0:
            _wait(left, self._wake_reader.fileno())
            self._clear_wake_bytes()

    def _serve(self, watchdog: Watchdog, backoff: Backoff) -> None:
        """Listen and publish on one connection, until it fails or the notifier closes."""
        with connect(self._info, watchdog) as connection:
            with watchdog.limit(connection, HEARTBEAT_SECONDS):
                channel = _channel(connection)
            self._connects += 1
            self._seen = None
            listening = False
            beat = time.monotonic() + HEARTBEAT_SECONDS
            while not (self._closing and self._published >= self._position):
                with watchdog.limit(connection, HEARTBEAT_SECONDS):
                    if self._wake is not None and not listening:
                        # Not before: a store that only publishes needs no notifications.
                        connection.execute(f'LISTEN "{channel}"'.encode())
                        listening = self._listening = True
                        self._call_wake()
                    if self._position > self._published or self._seen is not None:
                        self._send(connection, channel)
                    elif time.monotonic() >= beat:
                        connection.execute("SELECT 1")
                        beat = time.monotonic() + HEARTBEAT_SECONDS
                        self._error = ""
                        backoff.reset()
                    position = _received(connection, self._incarnation)
                if position is not None:
                    beat = time.monotonic() + HEARTBEAT_SECONDS
                    self._error = ""
                    backoff.reset()
                    self._wakes += 1
                    # Beyond the time limit of the connection: it may read from the log.
                    self._call_wake(position)
                if self._closing:
                    continue  # The byte that woke this thread may be older than the last send.
                wait = max(0.0, beat - time.monotonic())
                _wait(wait, connection.fileno(), self._wake_reader.fileno())
                self._clear_wake_bytes()

    def _send(self, connection: psycopg.Connection[Any], channel: str) -> None:
        seen, self._seen = self._seen or -1, None
        position = self._position
        # Earlier versions take a text that is no number for a reason to look.
        text = f"{max(position, seen)} {self._incarnation}".strip()
        connection.execute("SELECT pg_notify(%s, %s)", (channel, text))
        self._published = position

    def _call_wake(self, position: int | None = None) -> None:
        if self._wake is not None and not self._closing:
            self._wake(position)

    def _clear_wake_bytes(self) -> None:
        with suppress(BlockingIOError):
            while self._wake_reader.recv(4096):
                pass


def _channel(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT pg_catalog.md5(current_schema()::pg_catalog.text)").fetchone()
    return f"eventstore_{row[0] if row else ''}"


def _received(connection: psycopg.Connection[Any], incarnation: str) -> int | None:
    """Return the highest position that another process has sent; ``None`` for none."""
    # What libpq has read together with a statement's answer. psycopg would return it only once
    # the socket can be read again.
    notices = [
        (one.be_pid, one.extra.decode(errors="replace"))
        for one in iter(connection.pgconn.notifies, None)
    ]
    # One call returns either what came during earlier statements or what comes now. A loop until
    # there is no more might never end while others publish.
    for _ in range(2):
        notices += [(one.pid, one.payload) for one in connection.notifies(timeout=0)]
    own = connection.info.backend_pid
    found = [_position_in(text, incarnation) for pid, text in notices if pid != own]
    return max((one for one in found if one is not None), default=None)


def _position_in(text: str, incarnation: str) -> int | None:
    """Return the position that a payload says; ``None`` for one of another incarnation.

    One that is no position, or that an earlier version sent, wakes every subscription.
    """
    number, _, its = text.partition(" ")
    if its != incarnation and its:
        return None
    return int(number) if number.isdecimal() and its == incarnation else sys.maxsize


def _wait(seconds: float, *files: int) -> None:
    """Return once one of the files can be read, or after a time.

    Not by ``select.select``, which fails for descriptors from 1,024 on.
    """
    with selectors.DefaultSelector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        selector.select(seconds)
