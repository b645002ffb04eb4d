"""What a route is, and what its handler uses: the log's own routes and those of other packages.

A package names a function in its manifest (:class:`eventstore.cli.manifest.Routes`), which is given
the open store and returns its routes. A handler is an async function of the gateway and the
request. Its docstring is the route's description. It checks the streams that it reads or writes
by ``gateway.access.require_streams``; the token's scope has been checked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from starlette.responses import Response

from eventstore.errors import ConfigError
from eventstore.server._cursors import encode_cursor
from eventstore.server._gateway import Gateway
from eventstore.server._problems import HttpError
from eventstore.server._requests import (
    ExpectedBody,
    read_body,
    read_expected,
    read_number,
    to_json,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from starlette.requests import Request

    from eventstore.server.tokens import Scope

__all__ = [
    "NO_STORE",
    "ExpectedBody",
    "Gateway",
    "Handler",
    "HttpError",
    "Route",
    "check_routes",
    "encode_cursor",
    "json_answer",
    "read_body",
    "read_expected",
    "read_number",
    "tagged",
]

Handler: TypeAlias = "Callable[[Gateway, Request], Awaitable[Response]]"

NO_STORE: Final = {"cache-control": "no-store"}
"""What each answer says that is not meant for a cache."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    ``path`` has its variable segments in braces, percent-encoded by clients. ``scope`` is what a
    token needs, one of them where there are several; None is open to all, and has no limit of
    requests. ``parameters`` are those of the query: a request with another one, or with one of
    them twice, is refused; those in ``repeated`` may be given again. ``body`` is the shape of the
    JSON body.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | tuple[Scope, ...] | None = "read"
    parameters: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    body: type | None = None

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The scopes of which a token needs one; empty where the route is open to all."""
        if self.scope is None:
            return ()
        return (self.scope,) if isinstance(self.scope, str) else self.scope


def check_routes(routes: Iterable[Route]) -> list[Route]:
    """Return routes; raise ConfigError where two have one method and path."""
    found: dict[tuple[str, str], Route] = {}
    for route in routes:
        if not route.path.startswith("/") or found.setdefault(_key(route), route) is not route:
            raise ConfigError(f"the route {route.method} {route.path} is there already")
    return list(found.values())


def _key(route: Route) -> tuple[str, str]:
    return route.method, route.path


def json_answer(values: Mapping[str, Any], status: int = 200) -> Response:
    """Answer with JSON that no cache keeps."""
    return Response(to_json(values), status, NO_STORE, media_type="application/json")


def tagged(
    request: Request, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """Answer with JSON and its ETag; with 304 where the request has that content already."""
    body = to_json(values)
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    sent = {"cache-control": "private, no-cache", "etag": tag, **(headers or {})}
    known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
    if "*" in known or tag in known or f"W/{tag}" in known:
        return Response(status_code=304, headers=sent)
    return Response(body, headers=sent, media_type="application/json")
