"""``/v1/session``: a browser's sign-in by token, kept in a cookie that scripts cannot read.

The cookie is the token itself, so a revoked one ends its sessions at once, on every server of the
log. It is sent to this server alone (``SameSite=Strict``), and requests that change something by it
have to come from this server's own pages: see :func:`is_own_page`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from eventstore.log.clock import from_microseconds
from eventstore.server._access import ANYONE, CHALLENGE, COOKIE, is_own_page
from eventstore.server._problems import HttpError
from eventstore.server._requests import read_body
from eventstore.server.routes import NO_STORE, Route, json_answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.server._gateway import Gateway
    from eventstore.server.tokens import Token

SESSION_SECONDS: Final = 12 * 3_600
"""Seconds after which a browser forgets the cookie."""


class SessionBody(msgspec.Struct, forbid_unknown_fields=True):
    """The token to sign in by."""

    token: str


async def put_session(gateway: Gateway, request: Request) -> Response:
    """Sign a browser in: set the cookie for a token that is in force."""
    if not is_own_page(request):
        raise HttpError(403, "a page of another site asks for a session")
    secret = (await read_body(request, SessionBody)).token.strip()
    token = gateway.access.find(secret)
    if token is None:
        raise HttpError(401, "no such token is in force", CHALLENGE)
    answer = json_answer({"session": _describe(token)})
    _set_cookie(gateway, request, answer, secret, SESSION_SECONDS)
    return answer


async def get_session(gateway: Gateway, request: Request) -> Response:
    """Answer with whose token the request has, and what it allows; null without one."""
    token = gateway.access.identify(request)
    return json_answer({"session": None if token is None else _describe(token)})


async def delete_session(gateway: Gateway, request: Request) -> Response:
    """Sign a browser out: clear the cookie."""
    if not is_own_page(request):
        raise HttpError(403, "a page of another site asks to end a session")
    answer = Response(status_code=204, headers=NO_STORE)
    _set_cookie(gateway, request, answer, "", 0)
    return answer


def _describe(token: Token) -> dict[str, Any]:
    expires = None if token.expires_us is None else from_microseconds(token.expires_us).isoformat()
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "streams": list(token.streams),
        "expires_at": expires,
        "anonymous": token is ANYONE,
    }


def _set_cookie(
    gateway: Gateway, request: Request, answer: Response, value: str, seconds: int
) -> None:
    secure = gateway.settings.behind_proxy or request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict"
    )


ROUTES: Final = (
    Route("PUT", "/v1/session", put_session, None, body=SessionBody),
    Route("GET", "/v1/session", get_session, None),
    Route("DELETE", "/v1/session", delete_session, None),
)
