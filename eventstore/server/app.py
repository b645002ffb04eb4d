"""The ASGI application: its routes, its life, and what every answer has in common."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route as Mapped

from eventstore.errors import InvalidInputError
from eventstore.server import (
    _auth,
    _events,
    _health,
    _last_hour,
    _live,
    _openapi,
    _pages,
    _sessions,
    _store,
    _writes,
)
from eventstore.server._gateway import Gateway
from eventstore.server._problems import HttpError, answer
from eventstore.server._requests import check_parameters
from eventstore.server.routes import Route, check_routes
from eventstore.server.settings import DEFAULTS
from eventstore.system.http_spans import note_answer, server_span
from eventstore.system.traces import NO_SPAN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from eventstore.metrics.model import Collector
    from eventstore.server.issuer import Issuer
    from eventstore.server.settings import ServerSettings
    from eventstore.store.event_store import EventStore

log = logging.getLogger(__name__)

SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
"""Headers of each answer."""

UNTRACED: Final = frozenset(route.path for route in _health.ROUTES)
"""Paths that are asked all the time, by what watches the server."""


def make_app(
    store: EventStore,
    *,
    anonymous_read: bool = False,
    settings: ServerSettings = DEFAULTS,
    routes: Iterable[Route] = (),
    issuer: Issuer | None = None,
    collectors: Mapping[str, Collector] | None = None,
) -> Starlette:
    """Return the application for an open store; it serves within its lifespan alone.

    ``anonymous_read`` opens reading to all requests; every write needs a token. ``routes`` and
    ``collectors`` of metrics are those of other packages, beside the log's own; ``issuer`` signs
    tokens beside those of the log. Raises ConfigError for a route that is there twice.
    """
    every = check_routes([*OWN_ROUTES, *routes])
    gateway = Gateway(
        store, settings, anonymous_read=anonymous_read, issuer=issuer, collectors=collectors
    )
    app = Starlette(
        routes=[
            Mapped(route.path, partial(_handle, gateway, route), methods=[route.method])
            for route in every
        ],
        lifespan=partial(_lifespan, gateway),
        exception_handlers={404: _no_route, 405: _no_route},
        middleware=[Middleware(RawPaths)],
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    app.state.routes = every
    return app


@asynccontextmanager
async def _lifespan(gateway: Gateway, _app: Starlette) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        await gateway.start(tasks)
        yield
        await gateway.stop()
        tasks.cancel_scope.cancel()


async def _handle(gateway: Gateway, route: Route, request: Request) -> Response:
    begun = perf_counter()
    traced = route.path not in UNTRACED
    with server_span(route.method, route.path, request.headers) if traced else NO_SPAN as span:
        try:
            if route.scopes:
                response = await _answer(gateway, route, request)
            else:
                response = await route.handler(gateway, request)
        except Exception as error:
            response = answer(error)
        note_answer(span, response.status_code, 500)
    _secure(response)
    gateway.metrics.answered(route.method, route.path, response.status_code, begun)
    milliseconds = 1_000 * (perf_counter() - begun)
    log.info("%s %s %d %.1f ms", route.method, route.path, response.status_code, milliseconds)
    return response


async def _answer(gateway: Gateway, route: Route, request: Request) -> Response:
    client = gateway.client(request, gateway.access.identify(request))
    with gateway.limits.request(client):
        gateway.access.require(request, *route.scopes)
        check_parameters(request, route.parameters, route.repeated)
        _decode_segments(request)
        return await route.handler(gateway, request)


class RawPaths:
    """Routes by the path as it was sent, so that ``%2F`` within a segment parts no segments.

    What the segments stand for is decoded by the routes, once.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] == "http" and (raw := scope.get("raw_path")):
            scope = {**scope, "path": raw.decode("latin-1")}
        await self._app(scope, receive, send)


def _decode_segments(request: Request) -> None:
    for name, value in request.path_params.items():
        try:
            request.path_params[name] = unquote(value, errors="strict")
        except UnicodeError as error:
            raise InvalidInputError(f"path {value!r:.60}", "is not UTF-8") from error


async def _no_route(_request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    known = {404: "there is nothing here", 405: "this path takes another method"}
    headers = getattr(error, "headers", None)
    response = answer(HttpError(status, known.get(status, "this is no request"), headers))
    _secure(response)
    return response


def _secure(response: Response) -> None:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)  # A page of the console has a policy of its own.


OWN_ROUTES: Final = (
    *_health.ROUTES,
    *_events.ROUTES,
    *_live.ROUTES,
    *_last_hour.ROUTES,
    *_pages.ROUTES,
    *_auth.ROUTES,
    *_sessions.ROUTES,
    *_openapi.ROUTES,
    *_writes.ROUTES,
    *_store.ROUTES,
)
"""The routes of the log itself."""
