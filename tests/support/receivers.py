"""What deliveries go to: a function that notes them, and a webhook that answers as it is told."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from support.network import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore import Event


class Receiver:
    """Notes what is delivered to it; ``failing`` says which positions fail, and how."""

    def __init__(self) -> None:
        self.received: list[int] = []
        self.attempts: list[int] = []
        self.failing: dict[int, Exception] = {}

    async def __call__(self, event: Event) -> None:
        self.attempts.append(event.position)
        if event.position in self.failing:
            raise self.failing[event.position]
        self.received.append(event.position)


class Request(NamedTuple):
    """What a webhook was sent."""

    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.body)["data"]


class Hook:
    """A webhook on a port of its own; ``answers`` has its next ones: a status and headers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: deque[tuple[int, dict[str, str]]] = deque()
        self.url = ""

    def handle(self, request: Request) -> tuple[int, dict[str, str]]:
        self.requests.append(request)
        return self.answers.popleft() if self.answers else (204, {})


@contextmanager
def webhook() -> Iterator[Hook]:
    """Run a webhook until the block ends."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(size := int(self.headers["content-length"]))
            if len(body) < size:
                return  # The sender was killed meanwhile.
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, answer = hook.handle(Request(headers, body))
            self.send_response(status)
            for name, value in {"content-length": "0", **answer}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing to stderr."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        hook.url = f"http://{HOST}:{server.server_port}/hooks/SECRET-PATH"
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()
