"""The server that is measured, beside a bare route of the same framework: a role of children."""

from __future__ import annotations

import asyncio
import json
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from eventstore import EventStore
from eventstore.server import serving
from eventstore.server.app import make_app
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import create_token

if TYPE_CHECKING:
    from starlette.requests import Request

MANY: Final = 20_000
"""More clients than any benchmark has."""

SETTINGS: Final = ServerSettings(
    connections=MANY, token_requests=MANY, streams=MANY, token_streams=MANY, rate=1e9
)


class BareStreams(asyncio.Protocol):
    """The floor of live streams: what one connection sends by POST is written to all others."""

    followers: ClassVar[set[asyncio.Transport]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take a whole request: GET follows."""
        if data.startswith(b"GET"):
            self.followers.add(self._transport)
            self._transport.write(b"HTTP/1.1 200 OK\r\n\r\n: connected\n\n")
            return
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        body = data.partition(b"\r\n\r\n")[2]
        for follower in self.followers:
            follower.write(body)

    def connection_lost(self, _: Exception | None) -> None:
        """End."""
        self.followers.discard(self._transport)


async def server(url: str) -> None:
    """Serve a log, a bare application that decodes bodies, bare streams; say ports and a token."""

    pages: dict[int, bytes] = {}

    async def take(request: Request) -> Response:
        json.loads(await request.body())
        return Response(b'{"position":1}', 201, media_type="application/json")

    async def give(request: Request) -> Response:
        size = request.path_params["size"]
        if size not in pages:
            pages[size] = b"x" * size
        return Response(pages[size], media_type="application/json")

    routes = [Route("/append", take, methods=["POST"]), Route("/page/{size:int}", give)]
    async with EventStore.open(url) as store, anyio.create_task_group() as tasks:
        secret = await create_token(store, "benchmark", ["read", "append"])
        bare, ready = _listen(), anyio.Event()
        streams = await asyncio.get_running_loop().create_server(BareStreams, "127.0.0.1", 0)
        config = uvicorn.Config(
            Starlette(routes=routes), http="h11", log_config=None, access_log=False, lifespan="off"
        )
        tasks.start_soon(partial(uvicorn.Server(config).serve, sockets=[bare]))
        with serving.listen("127.0.0.1:0", encrypted=False, behind_proxy=False) as opened:
            app = make_app(store, settings=SETTINGS)
            tasks.start_soon(partial(serving.serve, app, opened, ready=ready.set))
            await ready.wait()
            _say("ready")
            floor = streams.sockets[0].getsockname()[1]
            _say(opened.getsockname()[1], bare.getsockname()[1], floor, secret)
            await anyio.sleep_forever()


def _listen() -> socket.socket:
    """Return a socket of TCP by name: only of such a one asyncio sends small answers at once."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    opened.bind(("127.0.0.1", 0))
    opened.listen(128)
    return opened


def _say(*words: Any) -> None:
    print(json.dumps(words), flush=True)
