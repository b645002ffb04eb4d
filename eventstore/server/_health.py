"""``/healthz``, ``/readyz``, ``/metrics``: what those ask who run the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import PlainTextResponse, Response

from eventstore.server.routes import NO_STORE, Route
from eventstore.system.listening import is_this_host

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.server._gateway import Gateway


async def get_health(_gateway: Gateway, _request: Request) -> Response:
    """Answer while the process lives."""
    return PlainTextResponse("alive\n")


async def get_ready(gateway: Gateway, _request: Request) -> Response:
    """Answer while the database does, and the tokens of the log are known."""
    gateway.access.check()
    await gateway.store.head()
    return PlainTextResponse("ready\n")


async def get_metrics(gateway: Gateway, request: Request) -> Response:
    """Answer with the numbers of the log and of the server, as text for Prometheus."""
    host = request.client.host if request.client is not None else ""
    if gateway.settings.behind_proxy or not is_this_host(host):
        gateway.access.require_streams(request, "read", None)
    gateway.metrics.streams = gateway.followers
    body, media_type = await gateway.metrics.text()
    return Response(body, headers={**NO_STORE, "content-type": media_type})


ROUTES: Final = (
    Route("GET", "/healthz", get_health, None),
    Route("GET", "/readyz", get_ready, None),
    Route("GET", "/metrics", get_metrics, None),
)
