"""``/metrics`` of a process that serves nothing else: one path, on a socket of its own.

Each connection has one request, a few seconds and a few kilobytes.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from anyio.abc import SocketListener

if TYPE_CHECKING:
    import socket

    from anyio.abc import SocketStream

    from eventstore.metrics.registry import Metrics

log = logging.getLogger(__name__)

REQUEST_BYTES: Final = 16 * 1024
"""Bytes of a request's line and headers."""

REQUEST_SECONDS: Final = 10.0
"""Seconds in which a request has to come, and in which its answer has to be taken."""

CONNECTIONS: Final = 16
"""Connections at once; a further one is closed."""

_PLAIN: Final = "text/plain; charset=utf-8"


async def serve_metrics(opened: socket.socket, metrics: Metrics) -> None:
    """Answer ``GET /metrics`` on a socket that listens, until cancelled."""
    places = anyio.CapacityLimiter(CONNECTIONS)
    async with await SocketListener.from_socket(opened) as listener:
        await listener.serve(partial(_connected, metrics, places))


async def _connected(metrics: Metrics, places: anyio.CapacityLimiter, stream: SocketStream) -> None:
    """Answer the one request of a connection, where there is a place for it."""
    async with stream:
        try:
            places.acquire_on_behalf_of_nowait(stream)
        except anyio.WouldBlock:
            return
        try:
            with anyio.move_on_after(REQUEST_SECONDS):
                method, path = await _request(stream)
                answer = await _answer(metrics, method, path)
                await stream.send(answer)
                await stream.send_eof()
        except (anyio.BrokenResourceError, anyio.EndOfStream):
            log.debug("a client of metrics has gone", exc_info=True)
        finally:
            places.release_on_behalf_of(stream)


async def _request(stream: SocketStream) -> tuple[str, str]:
    """Receive a request; return its method and path, or empty texts for what is no request."""
    received = b""
    while b"\r\n\r\n" not in received and len(received) <= REQUEST_BYTES:
        received += await stream.receive(REQUEST_BYTES)
    words = received.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if len(received) > REQUEST_BYTES or len(words) != 3 or not words[2].startswith("HTTP/1."):
        return "", ""
    return words[0], words[1].partition("?")[0]


async def _answer(metrics: Metrics, method: str, path: str) -> bytes:
    status, kind, body = "200 OK", metrics.media_type, b""
    if not method:
        status, kind = "400 Bad Request", _PLAIN
    elif path != "/metrics":
        status, kind, body = "404 Not Found", _PLAIN, b"there is /metrics alone\n"
    elif method not in {"GET", "HEAD"}:
        status, kind = "405 Method Not Allowed", _PLAIN
    else:
        body = await metrics.text()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Allow: GET, HEAD\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else body)
