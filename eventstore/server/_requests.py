"""Reading a request: parameters and bodies, checked before anything is done with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import anyio
import msgspec
from starlette.requests import ClientDisconnect

from eventstore.errors import InvalidInputError
from eventstore.log.events import ANY, NO_STREAM, STREAM_EXISTS, Expected
from eventstore.log.validation import check_filter
from eventstore.server._cursors import decode_cursor
from eventstore.server._problems import HttpError

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.log.events import Cursor, Special
    from eventstore.log.operations import Query
    from eventstore.server.settings import ServerSettings

T = TypeVar("T")

FILTERS: Final = ("types", "exclude_streams", "exclude_types")
"""Parameters that filter events, and may be repeated."""

_EXPECTED: Final[dict[str, Expected]] = {
    "any": ANY,
    "exists": STREAM_EXISTS,
    "no-stream": NO_STREAM,
}

ExpectedBody: TypeAlias = int | Literal["any", "exists", "no-stream"]
"""An expected version as a body has it."""


def read_expected(given: ExpectedBody) -> Expected:
    """Return what a body expects of a stream."""
    return _EXPECTED[given] if isinstance(given, str) else given


def check_parameters(request: Request, once: tuple[str, ...], repeated: tuple[str, ...]) -> None:
    """Raise InvalidInputError for a parameter that the route does not know, or that is twice there.

    Of two values one program would take the first and another the last.
    """
    seen: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name not in once and name not in repeated:
            known = ", ".join((*once, *repeated)) or "none"
            raise InvalidInputError(f"parameter {name!r:.60}", f"use some of: {known}")
        if name in seen and name in once:
            raise InvalidInputError(f"parameter {name!r:.60}", "is given twice")
        seen.add(name)


def read_after(request: Request) -> Cursor | Special:
    """Return the cursor of the parameter ``after``; without it, the oldest event's."""
    return decode_cursor(request.query_params.get("after", ""))


def read_number(request: Request, name: str, default: float, most: float) -> float:
    """Return a parameter as a number from 0 on; one above ``most`` is ``most``."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.replace(".", "", 1).isdigit()):
        raise InvalidInputError(f"{name}={text!r:.40}", "use a number from 0 on")
    return min(float(text), most)


def read_filter(request: Request) -> Query:
    """Return the query for the parameters that filter: each but ``streams`` may be repeated."""
    given = request.query_params
    return check_filter(
        given.get("streams"),
        given.getlist("types") or None,
        given.getlist("exclude_streams") or None,
        given.getlist("exclude_types") or None,
        kept=False,
    )


async def read_body(request: Request, shape: type[T]) -> T:
    """Return the JSON body in a shape; raise HttpError 413 and InvalidInputError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        # A page of another site can send forms and plain text, and nothing else, without asking.
        raise HttpError(415, "send application/json")
    body = await receive(request)
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidInputError("body", str(error)[:500]) from error


async def receive(request: Request) -> bytes:
    """Return the body within the server's limits; raise HttpError 408 and 413."""
    settings: ServerSettings = request.app.state.gateway.settings
    too_large = HttpError(413, f"the body has more than {settings.max_body} bytes")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > settings.max_body:
        raise too_large
    body = bytearray()
    try:
        with anyio.fail_after(settings.body_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > settings.max_body:
                    raise too_large
    except TimeoutError as error:
        raise HttpError(408, "the body did not come in time", {"connection": "close"}) from error
    except ClientDisconnect as error:
        raise HttpError(400, "the body has ended early") from error
    return bytes(body)


def to_json(value: Any) -> bytes:
    """Return a value as JSON."""
    return msgspec.json.encode(value)
