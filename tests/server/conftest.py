"""A server of a log in memory, on a port of its own, and clients with tokens."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from support.network import HOST
from support.waiting import eventually

from eventstore import EventStore
from eventstore.cli.serve import contributed_routes
from eventstore.server import serving
from eventstore.server.app import make_app
from eventstore.server.tokens import create_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from eventstore.server._gateway import Gateway


class Server:
    """A server under test; ``stop`` ends it as SIGTERM would."""

    def __init__(
        self, store: EventStore, url: str, scope: anyio.CancelScope, gateway: Gateway
    ) -> None:
        self.store = store
        self.url = url
        self.stop = scope.cancel
        self.gateway = gateway

    async def client(
        self, *scopes: str, streams: Iterable[str] = (), name: str = ""
    ) -> httpx.AsyncClient:
        """Return a client with a new token, which the server knows."""
        name = name or f"token-{(await self.store.head()).position}"
        secret = await create_token(self.store, name, scopes, streams=streams)
        bearer = f"Bearer {secret}"

        async def known() -> bool:
            async with self.stranger(authorization=bearer) as client:
                return (await client.get("/v1/log")).status_code != 401

        await eventually(known)
        return self.stranger(authorization=bearer)

    def stranger(self, **headers: str) -> httpx.AsyncClient:
        """Return a client without a token."""
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=60.0, verify=False)


@asynccontextmanager
async def served(store: EventStore, **options: Any) -> AsyncIterator[Server]:
    listening = serving.listen(f"{HOST}:0", encrypted=False, behind_proxy=False)
    port = listening.getsockname()[1]
    ready = anyio.Event()
    scope, app = anyio.CancelScope(), make_app(store, routes=contributed_routes(store), **options)
    with listening:
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                with scope:
                    await serving.serve(app, listening, ready=ready.set)

            tasks.start_soon(run)
            with anyio.fail_after(60):
                await ready.wait()
            yield Server(store, f"http://{HOST}:{port}", scope, app.state.gateway)
            scope.cancel()


@pytest.fixture
def anyio_backend() -> str:
    """Uvicorn runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with EventStore.open("memory://") as store, served(store) as server:
        yield server
