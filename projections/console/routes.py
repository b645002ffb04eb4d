"""The console's files at ``/``, open to all: what they show comes by the routes of the log."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from eventstore.server.routes import Gateway, HttpError, Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore import EventStore

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""No inline script or style, nothing of another host, and no HTML made from texts."""

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_PAGE: Final = "index.html"


def console_routes(_store: EventStore) -> list[Route]:
    """Return the routes of the console's page and of what it consists of."""
    shown = _Files()
    return [
        Route("GET", "/", shown.get_page, None),
        Route("GET", "/console/{file}", shown.get_file, None),
    ]


class _Files:
    """The package's static files, read once."""

    def __init__(self) -> None:
        folder = files("projections.console") / "static"
        self._files = {
            one.name: one.read_bytes()
            for one in folder.iterdir()
            if one.name.rpartition(".")[2] in _TYPES
        }

    async def get_page(self, _gateway: Gateway, request: Request) -> Response:
        """Answer with the console's page; open to all, as it shows nothing without a token."""
        return self._answer(request, _PAGE)

    async def get_file(self, _gateway: Gateway, request: Request) -> Response:
        """Answer with a style sheet or a module of the console; open to all."""
        return self._answer(request, request.path_params["file"])

    def _answer(self, request: Request, name: str) -> Response:
        body = self._files.get(name)
        if body is None:
            raise HttpError(404, "there is nothing here")
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        headers = {
            "cache-control": "no-cache",
            "content-security-policy": CONTENT_SECURITY_POLICY,
            "content-type": _TYPES[name.rpartition(".")[2]],
            "cross-origin-opener-policy": "same-origin",
            "etag": tag,
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers)
