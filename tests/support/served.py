"""A log behind a server of its own, in a thread: what a store by URL is tried on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore import EventStore
from eventstore.cli.serve import contributed_routes
from eventstore.server import serving
from eventstore.server.app import make_app
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import Token, create_token, revoke_token
from eventstore.system.event_loop import loop_caller
from support.network import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from eventstore.server._gateway import Gateway

EVERYTHING: Final = ("read", "append", "ack")

SETTINGS: Final = ServerSettings(max_body=64 * 1024 * 1024)
"""Contracts append as much as a log takes."""

ANYONE: Final = Token("test", "", frozenset(EVERYTHING))


@dataclass
class Served:
    """A running server; ``url`` has a token with every scope but ``admin``.

    Without ``with_token`` no event tells of that token: the log is empty, as contracts begin.
    """

    log: str
    options: dict[str, Any]
    with_token: bool
    settings: ServerSettings
    url: str = ""
    port: int = 0
    ready: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    stop: Callable[[], None] = lambda: None

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Return what a coroutine returns in the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def revoke(self) -> None:
        """Revoke the token."""
        self.run(revoke_token(self.store, "test"))

    def new_url(self, name: str, *scopes: str, streams: tuple[str, ...] = ()) -> str:
        """Return a URL with a new token."""
        secret = self.run(create_token(self.store, name, scopes, streams=streams))

        async def known() -> None:
            while True:
                book = self.gateway.access._book
                if book is not None and book.find(secret, self.store.clock()) is not None:
                    return
                await asyncio.sleep(0.001)

        self.run(known())
        return f"http://{secret}@{HOST}:{self.port}"

    def work(self) -> None:
        """Serve until stopped."""
        try:
            anyio.run(self._serve)
        except BaseException as error:
            self.error = error
        self.ready.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        with anyio.CancelScope() as scope:
            self.stop = partial(loop_caller(), scope.cancel)
            async with EventStore.open(self.log, **self.options) as self.store:
                secret = "test"
                if self.with_token:
                    secret = await create_token(self.store, "test", EVERYTHING)
                address = f"{HOST}:{self.port}"
                with serving.listen(address, encrypted=False, behind_proxy=False) as listening:
                    self.port = listening.getsockname()[1]
                    self.url = f"http://{secret}@{HOST}:{self.port}"
                    routes = contributed_routes(self.store)
                    app = make_app(self.store, settings=self.settings, routes=routes)
                    self.gateway: Gateway = app.state.gateway
                    if not self.with_token:
                        self.gateway.access.identify = lambda _: ANYONE
                        self.gateway.access.holds = lambda _: True
                    await serving.serve(app, listening, ready=self.ready.set)


@contextmanager
def serving_log(
    log: str,
    *,
    with_token: bool = True,
    port: int = 0,
    settings: ServerSettings = SETTINGS,
    **options: Any,
) -> Iterator[Served]:
    """Serve a log for the block, at a port of its own or at this one."""
    served = Served(log, options, with_token, settings, port=port)
    thread = threading.Thread(target=served.work, name="server under test", daemon=True)
    thread.start()
    try:
        assert served.ready.wait(60)
        if served.error is not None:
            raise served.error
        yield served
    finally:
        served.stop()
        thread.join(60)
        assert not thread.is_alive()
