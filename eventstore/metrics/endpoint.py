"""``/metrics`` of a process that serves nothing else: one path, on a socket of its own.

Each connection has one request, a few seconds and a few kilobytes, its handshake included.
"""

from __future__ import annotations

import logging
import ssl
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from anyio.abc import SocketListener
from anyio.streams.tls import TLSStream

from eventstore.metrics.guard import Guard

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from anyio.abc import ByteStream, SocketStream

    from eventstore.metrics.registry import Metrics

log = logging.getLogger(__name__)

REQUEST_BYTES: Final = 16 * 1024
"""Bytes of a request's line and headers."""

REQUEST_SECONDS: Final = 10.0
"""Seconds in which a request has to come, and in which its answer has to be taken."""

CONNECTIONS: Final = 16
"""Connections at once; a further one is closed."""

_PLAIN: Final = "text/plain; charset=utf-8"


class _Request(NamedTuple):
    """A request; an empty method stands for what is none."""

    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = {}


async def serve_metrics(
    opened: socket.socket, metrics: Metrics, guard: Guard | None = None
) -> None:
    """Answer ``GET /metrics`` on a socket that listens, until cancelled."""
    places = anyio.CapacityLimiter(CONNECTIONS)
    async with await SocketListener.from_socket(opened) as listener:
        await listener.serve(partial(_connected, metrics, guard or Guard(), places))


async def _connected(
    metrics: Metrics, guard: Guard, places: anyio.CapacityLimiter, stream: SocketStream
) -> None:
    """Answer the one request of a connection, where there is a place for it."""
    async with stream:
        try:
            places.acquire_on_behalf_of_nowait(stream)
        except anyio.WouldBlock:
            return
        try:
            with anyio.move_on_after(REQUEST_SECONDS):
                if guard.tls is None:
                    await _exchange(metrics, guard, stream)
                    await stream.send_eof()
                else:
                    async with await TLSStream.wrap(
                        stream, server_side=True, ssl_context=guard.tls
                    ) as encrypted:
                        await _exchange(metrics, guard, encrypted)
        except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError):
            log.debug("a client of metrics has gone", exc_info=True)
        finally:
            places.release_on_behalf_of(stream)


async def _exchange(metrics: Metrics, guard: Guard, stream: ByteStream) -> None:
    await stream.send(await _answer(metrics, guard, await _receive(stream)))


async def _receive(stream: ByteStream) -> _Request:
    received = b""
    while b"\r\n\r\n" not in received and len(received) <= REQUEST_BYTES:
        received += await stream.receive(REQUEST_BYTES)
    first, *lines = received.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(received) > REQUEST_BYTES or len(words) != 3 or not words[2].startswith("HTTP/1."):
        return _Request()
    fields = [line.partition(":") for line in lines]
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return _Request(words[0], words[1].partition("?")[0], headers)


async def _answer(metrics: Metrics, guard: Guard, request: _Request) -> bytes:
    status, kind, body, more = "200 OK", metrics.media_type, b"", ""
    if not request.method:
        status, kind = "400 Bad Request", _PLAIN
    elif request.path != "/metrics":
        status, kind, body = "404 Not Found", _PLAIN, b"there is /metrics alone\n"
    elif request.method not in {"GET", "HEAD"}:
        status, kind = "405 Method Not Allowed", _PLAIN
    elif not guard.admits(request.headers):
        status, kind, more = "401 Unauthorized", _PLAIN, "WWW-Authenticate: Bearer\r\n"
    else:
        body = await metrics.text()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Allow: GET, HEAD\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        f"{more}Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if request.method == "HEAD" else body)
