"""A client of HTTP/1.1 that costs little beside the server that it measures."""

from __future__ import annotations

import json
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from typing import Self

HOST: Final = "127.0.0.1"
CHUNK: Final = 1024 * 1024
PATIENCE_SECONDS: Final = 60.0
AT_ONCE: Final = 100
"""Connections that are being opened at the same time."""


class Client:
    """One connection that stays open; requests one after another."""

    def __init__(self, port: int, token: str = "") -> None:
        self._socket = socket.create_connection((HOST, port), PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: {HOST}\r\nAuthorization: Bearer {token}\r\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def get(self, path: str) -> bytes:
        """Return the body of an answer."""
        return self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    def post(self, path: str, body: bytes) -> bytes:
        """Send JSON; return the body of the answer."""
        head = f"{self._head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return self._ask(f"POST {path} HTTP/1.1\r\n{head}".encode() + body)

    def _ask(self, request: bytes) -> bytes:
        self._socket.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            got += self._receive()
        head, _, body = got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 20"):
            raise RuntimeError(f"the server answers {got[:500]!r}")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        parts, have = [body], len(body)
        while have < length:
            parts.append(self._receive())
            have += len(parts[-1])
        return b"".join(parts)

    def _receive(self) -> bytes:
        if chunk := self._socket.recv(CHUNK):
            return chunk
        raise RuntimeError("the server has closed the connection")


class LiveClients:
    """Many streams of Server-Sent Events, read by one thread."""

    def __init__(self, port: int, token: str, count: int) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        ask = (
            "GET /v1/events/live?after=end&streams=rule/ HTTP/1.1\r\n"
            f"Host: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
        for _ in range(count):
            opened = socket.create_connection((HOST, port), PATIENCE_SECONDS)
            opened.sendall(ask)
            opened.setblocking(False)
            self._sockets[opened.fileno()] = opened
            self._poll.register(opened, select.EPOLLIN)
            if len(self._sockets) % AT_ONCE == 0:
                self._connected(AT_ONCE)
        self._connected(len(self._sockets) % AT_ONCE)

    def close(self) -> None:
        """End all of them."""
        for one in self._sockets.values():
            one.close()
        self._poll.close()

    def _connected(self, count: int) -> None:
        """Return once so many further clients follow."""
        self._read(b": connected", count)

    def receive(self) -> list[int]:
        """Return when each client had an event, in monotonic nanoseconds, in that order."""
        return self._read(b"data: ", len(self._sockets))

    def _read(self, wanted: bytes, count: int) -> list[int]:
        times: list[int] = []
        end = time.monotonic() + PATIENCE_SECONDS
        while len(times) < count:
            for descriptor, _ in self._poll.poll(max(0.0, end - time.monotonic())):
                got = self._sockets[descriptor].recv(CHUNK)
                if wanted in got:
                    times.append(time.monotonic_ns())
                elif not got:
                    raise RuntimeError("the server has ended a stream")
            if time.monotonic() > end:
                raise RuntimeError(f"{len(times)} of {count} clients were told in time")
        return times


def body_of(data: Any) -> bytes:
    """Return the body of an append."""
    return json.dumps({"events": [{"type": "RuleTuned", "data": data}]}).encode()
