"""A server between a store by URL and its log that does not tell the truth."""

from __future__ import annotations

from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

import httpx

from eventstore.remote import wire
from support.network import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.served import Served

Lie: TypeAlias = "Callable[[wire.PageAnswer], wire.PageAnswer]"
"""Alters a page that has events."""


@contextmanager
def lying_about(served: Served, lie: Lie) -> Iterator[str]:
    """Give the URL of a server that hands on what is asked, and alters each page with events."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"]))
            answer = client.post(self.path, content=asked, headers=dict(self.headers))
            body = answer.content
            if answer.is_success and self.path == wire.READ_PATH:
                body = _altered(asked, body, lie)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_error(503)  # No stream of positions: followers poll.

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    secret = served.url.removeprefix("http://").partition("@")[0]
    with httpx.Client(base_url=f"http://{HOST}:{served.port}", trust_env=False) as client:
        server = ThreadingHTTPServer((HOST, 0), Handler)
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://{secret}@{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _altered(asked: bytes, body: bytes, lie: Lie) -> bytes:
    question: wire.Read = wire.decode(asked, wire.Read, "the store")  # type: ignore[arg-type]
    if not isinstance(question, wire.ReadPage):
        return body
    page = wire.decode(body, wire.PageAnswer, "the server")
    return wire.encode(lie(page)) if page.events else body
