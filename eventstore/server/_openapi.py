"""``/v1/openapi.json``: the routes as an OpenAPI document, made from their declarations."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.server.routes import Route, tagged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore.server._gateway import Gateway

_SEGMENT: Final = re.compile(r"\{(\w+)\}")
_PROBLEM: Final = {
    "description": "A problem, as RFC 9457 has it.",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "fields": {"type": "object"},
                },
            }
        }
    },
}


async def get_openapi(_gateway: Gateway, request: Request) -> Response:
    """Answer with this description of all routes; open to all."""
    return tagged(request, describe_routes(request.app.state.routes))


def describe_routes(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the OpenAPI document of routes."""
    known = list(routes)
    bodies = {route.body for route in known if route.body is not None}
    schemas, components = msgspec.json.schema_components(
        bodies, ref_template="#/components/schemas/{name}"
    )
    by_body = dict(zip(bodies, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in known:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_body)
    return {
        "openapi": "3.1.0",
        "info": {"title": "eventstore", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, bodies: dict[type, dict[str, Any]]) -> dict[str, Any]:
    text = (inspect.getdoc(route.handler) or "").split("\n\n")
    described: dict[str, Any] = {
        "summary": " ".join(text[0].split()),
        "parameters": [*_segments(route), *_parameters(route)],
        "responses": {"2XX": {"description": "It is done."}, "default": _PROBLEM},
        "security": [{"token": [scope]} for scope in route.scopes],
    }
    if route.body is not None:
        content = {"application/json": {"schema": bodies[route.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _segments(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _SEGMENT.findall(route.path)
    ]


def _parameters(route: Route) -> list[dict[str, Any]]:
    once = [
        {"name": name, "in": "query", "schema": {"type": "string"}} for name in route.parameters
    ]
    texts = {"type": "array", "items": {"type": "string"}}
    return [*once, *({"name": name, "in": "query", "schema": texts} for name in route.repeated)]


ROUTES: Final = (Route("GET", "/v1/openapi.json", get_openapi, None),)
