"""UmaDB, a server with a compiled client: a second peer where the package ``umadb`` is installed.

Its server is a process of its own on this machine. An append is durable when the call returns. It
keeps type, data, tags and an id of each event; a stream is a tag.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import msgspec

from benchmarks.data import STREAMS, TYPE, payload
from benchmarks.measure import Contestant

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CONNECT_SECONDS = 10.0

FDATASYNC: Final = "fdatasync"
"""What its server waits for, twice, before an append returns."""


class UmaDB:
    """A client, and where its server is; without the package it has no contestants."""

    def __init__(self, client: Any, url: str = "") -> None:
        self._client = client
        self.url = url

    def __bool__(self) -> bool:
        return self._client is not None

    def append(self) -> int:
        """Append one event; return its position."""
        return int(self._client.append(_events(0, 1)))

    def appends(self, count: int, size: int) -> list[Contestant]:
        """Append so many events per call from one thread, made within the time."""

        async def run() -> None:
            for number in range(count // size):
                self._append(number, size)

        return self._contestant("UmaDB", count, run, FDATASYNC)

    def threads(self, count: int, threads: int) -> list[Contestant]:
        """Append single events from threads, each to a stream of its own."""

        def one(number: int) -> None:
            for _ in range(count // threads):
                self._append(number, 1)

        async def run() -> None:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(one, range(threads)))

        return self._contestant(f"UmaDB, {threads} threads", count, run, FDATASYNC)

    def reading(self, count: int) -> list[Contestant]:
        """Read everything."""

        async def run() -> None:
            for _ in self._client.read():
                pass

        return self._contestant("UmaDB", count, run)

    def fill(self, count: int, size: int) -> None:
        """Append what is read later."""
        if self._client is not None:
            for number in range(count // size):
                self._append(number, size)

    def _append(self, stream: int, size: int) -> None:
        self._client.append(_events(stream % 64, size))

    def _contestant(self, name: str, count: int, run: Any, durable: str = "") -> list[Contestant]:
        return [] if self._client is None else [Contestant(name, count, lambda: run, durable)]


def _events(stream: int, size: int) -> Sequence[Any]:
    from umadb import Event  # noqa: PLC0415 - an optional peer

    make = partial(Event, TYPE, tags=[STREAMS[stream]])
    return [make(msgspec.json.encode(payload(at))) for at in range(size)]


@contextmanager
def uma_db(folder: Path) -> Iterator[UmaDB]:
    """Run a server with its files in ``folder``, and a client of it."""
    if find_spec("umadb") is None:
        yield UmaDB(None)
        return
    from umadb import Client  # noqa: PLC0415 - an optional peer

    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = "import sys, umadb; umadb.run_server_from_args(sys.argv)"
    options = ["--listen", address, "--db-path", str(folder / "uma.db")]
    with subprocess.Popen(
        [sys.executable, "-c", start, *options], stdout=subprocess.DEVNULL
    ) as server:
        try:
            _await(server, address)
            with Client(f"http://{address}") as client:
                yield UmaDB(client, f"http://{address}")
        finally:
            server.kill()


def _await(server: subprocess.Popen[bytes], address: str) -> None:
    host, port = address.split(":")
    end = time.monotonic() + CONNECT_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the server of UmaDB does not answer on {address}")
