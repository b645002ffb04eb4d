"""``/v1/events/live``: events as they come, as Server-Sent Events.

Each has its cursor as ``id``, so that a client which connects again goes on behind the last one
(``Last-Event-ID``). A client that does not read stands still by itself: what it has not taken is
not read from the log. After ``MAX_AGE`` seconds the stream ends, so that proxies and load
balancers may let go; so it does where the token is revoked or expires, and where the server stops.
An error in between is an event ``problem``, and the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from starlette.responses import StreamingResponse

from eventstore.errors import EventStoreError
from eventstore.log.events import Cursor
from eventstore.server._cursors import decode_cursor, encode_cursor, event_values
from eventstore.server._problems import problem_body
from eventstore.server._requests import FILTERS, read_after, read_filter, to_json
from eventstore.server.routes import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Event
    from eventstore.server._gateway import Following, Gateway

MAX_AGE: Final = 900.0
"""Seconds after which a stream ends, for the client to connect again."""

HEARTBEAT: Final = 15.0
"""Seconds without an event after which a comment says that the stream is alive."""

_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


async def get_live(gateway: Gateway, request: Request) -> StreamingResponse:
    """Answer with a stream of events after a cursor, without an end of its own."""
    query = read_filter(request)
    token = gateway.access.require_streams(request, "read", query.streams)
    last = request.headers.get("last-event-id")
    after = read_after(request) if last is None else decode_cursor(last)
    if isinstance(after, Cursor):
        await gateway.check_history(after)  # A cursor of another history is no broken stream.
    following = gateway.following(request, token, query, after)
    changes = await following.__aenter__()
    body = _stream(following, changes)
    return StreamingResponse(body, headers=_HEADERS, media_type="text/event-stream")


async def _stream(following: Following, changes: Subscription) -> AsyncIterator[bytes]:
    end = anyio.current_time() + MAX_AGE
    try:
        yield b": connected\n\n"
        while (left := end - anyio.current_time()) > 0 and following.in_force:
            event: Event | None = None
            with anyio.move_on_after(min(left, HEARTBEAT)):
                try:
                    event = await anext(changes)
                except StopAsyncIteration:
                    return  # The server stops, or the token was revoked.
            if event is None:
                yield b": alive\n\n"
                continue
            assert changes.cursor is not None  # noqa: S101 - it has given out an event
            cursor = Cursor(changes.cursor.log_id, event.position, event.hash)
            data = to_json(event_values(event)).decode()
            yield f"id: {encode_cursor(cursor)}\ndata: {data}\n\n".encode()
    except EventStoreError as error:
        yield b"event: problem\ndata: " + problem_body(error) + b"\n\n"
    finally:
        with anyio.CancelScope(shield=True):
            await following.__aexit__(None, None, None)


ROUTES: Final = (
    Route("GET", "/v1/events/live", get_live, parameters=("after", "streams"), repeated=FILTERS),
)
