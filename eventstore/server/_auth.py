"""``/v1/auth``: whether a proxy may answer a request from its cache.

A proxy asks with the client's ``Authorization`` and with the request's target as nginx
(``X-Original-URI``) or Caddy and Traefik (``X-Forwarded-Uri``) give it. The proxy has to set that
header itself; where two of them differ one is the client's, and the answer is no.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.responses import Response

from eventstore.server._access import CHALLENGE
from eventstore.server._problems import HttpError
from eventstore.server.routes import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.server._gateway import Gateway

AUTH_SECONDS: Final = 30
"""Seconds that a proxy may keep the answer: the longest that a revoked token reads its cache."""

_TARGETS: Final = ("x-original-uri", "x-forwarded-uri")
_CACHED: Final = ("/v1/pages/", "/v1/events")
"""Where the paths begin whose answers depend on the streams of a token."""

_ALLOWED: Final = {
    "cache-control": f"max-age={AUTH_SECONDS}",
    "vary": "authorization, x-original-uri, x-forwarded-uri",
}


async def get_auth(gateway: Gateway, request: Request) -> Response:
    """Answer 204 where the token is in force, and where a page's streams are among its own.

    Cookies do not count: proxies keep the answer for an ``Authorization``.
    """
    if gateway.access.identify(request, cookies=False) is None:
        raise HttpError(401, "give a token: Authorization: Bearer …", CHALLENGE)
    path, _, query = _target(request).partition("?")
    if path.startswith(_CACHED):
        given = [value for name, value in _parameters(query) if name == "streams"]
        if len(given) > 1:
            raise HttpError(403, "streams= is given twice")
        gateway.access.require_streams(request, "read", given[0] if given else None)
    return Response(status_code=204, headers=_ALLOWED)


def _target(request: Request) -> str:
    targets = {one for name in _TARGETS for one in request.headers.getlist(name)}
    if len(targets) != 1:
        raise HttpError(403, f"the proxy has to set one of {', '.join(_TARGETS)}")
    return targets.pop()


def _parameters(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise HttpError(403, "the query has too many parameters") from error


ROUTES: Final = (Route("GET", "/v1/auth", get_auth, None),)
