"""Serving the application over HTTP, in this process, until the caller is cancelled."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import anyio
import uvicorn

from eventstore.server._connection import Connection
from eventstore.system import listening

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

    from starlette.applications import Starlette

GRACE_SECONDS: Final = 10
"""Seconds that requests have to end once the server stops."""

KEEP_ALIVE_SECONDS: Final = 75
"""Seconds that a connection without a request stays open."""


def listen(address: str, *, encrypted: bool, behind_proxy: bool) -> socket.socket:
    """Return a socket that listens at ``HOST:PORT``; port 0 is any.

    Raises ConfigError for an address that cannot be used, and for one that other hosts reach while
    the connection is neither encrypted nor a proxy's: tokens would be read on the way.
    """
    reason = (
        "and tokens would travel in clear: "
        "give --tls-cert and --tls-key, or --behind-proxy where a proxy encrypts"
    )
    return listening.listen(
        "--listen", address, refuse_others="" if encrypted or behind_proxy else reason
    )


async def serve(
    app: Starlette,
    opened: socket.socket,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve what ``make_app`` made until cancelled; then let requests end.

    They have :data:`GRACE_SECONDS`. ``ready`` is called once it answers. Runs on asyncio alone, as
    uvicorn does.
    """
    settings = app.state.gateway.settings
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", partial(Connection, settings)),  # Uvicorn calls it.
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="on",
        h11_max_incomplete_event_size=settings.max_headers,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    server = _Server(config, app.state.gateway.stop, ready)

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            await server.serve(sockets=[opened])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        try:
            await server.ended.wait()
        finally:
            server.should_exit = True


class _Server(uvicorn.Server):
    """Uvicorn's server, which leaves signals to the program and ends those that follow."""

    def __init__(
        self,
        config: uvicorn.Config,
        stop: Callable[[], Awaitable[None]],
        ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._stop = stop
        self._ready = ready
        self.ended = anyio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take no signals: the program has its own way to end."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until told to exit."""
        try:
            await super().serve(sockets)
        finally:
            self.ended.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End those that follow first: they would not end by themselves."""
        await self._stop()
        await super().shutdown(sockets)
