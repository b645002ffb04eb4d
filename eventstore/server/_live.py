"""``/v1/events/live``: events as they come, as Server-Sent Events.

Each has its cursor as ``id``, so that a client which connects again goes on behind the last one
(``Last-Event-ID``). A client that does not read stands still by itself: what it has not taken is
not read from the log. After ``MAX_AGE`` seconds the stream ends, so that proxies and load
balancers may let go; so it does where the token is revoked or expires, and where the server stops.
An error in between is an event ``problem``, and the end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
from starlette.responses import Response

from eventstore.errors import EventStoreError, StorageError
from eventstore.log.events import END
from eventstore.server._broadcasts import Form, Listener
from eventstore.server._cursors import decode_cursor, encode_cursor, event_body
from eventstore.server._problems import problem_body
from eventstore.server._requests import FILTERS, read_after, read_filter, to_json
from eventstore.server.routes import Route
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from eventstore.log.events import Cursor, Event
    from eventstore.log.operations import Query
    from eventstore.server._gateway import Gateway
    from eventstore.server.tokens import Token

MAX_AGE: Final = 900.0
"""Seconds after which a stream ends, for the client to connect again."""

_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class LiveStream(Response):
    """An answer of what a query matches behind a cursor, in a form, without an end of its own.

    ``begun`` comes first. ``caught_up`` says that nothing that matches lies between the cursor and
    the head of the log.
    """

    def __init__(
        self,
        gateway: Gateway,
        request: Request,
        token: Token,
        query: Query,
        cursor: Cursor,
        form: Form,
        begun: bytes,
        *,
        caught_up: bool,
    ) -> None:
        self.status_code, self.media_type, self.background = 200, "text/event-stream", None
        self.init_headers(_HEADERS)
        self._gateway, self._query, self._form = gateway, query, form
        self._begun, self._caught_up = begun, caught_up
        self._listener = Listener(
            request.state.connection, cursor, lambda: gateway.access.holds(token)
        )
        client = gateway.client(request, token)
        self._follower = gateway.enter(token, client, self._listener.end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer until the client goes away, or the stream's end."""
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            if scope["method"] != "HEAD":
                await self._answer(receive, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._listener.leave()
            self._gateway.leave(self._follower)

    async def _answer(self, receive: Receive, send: Send) -> None:
        listener = self._listener
        await _send(send, self._begun)
        try:
            with listener.lasting(MAX_AGE):
                await self._follow(receive, send)
        except EventStoreError as error:
            listener.problem = problem_body(error)
        if listener.problem:
            await _send(send, b"event: problem\ndata: " + listener.problem + b"\n\n")

    async def _follow(self, receive: Receive, send: Send) -> None:
        listener, broadcasts = self._listener, self._gateway.broadcasts
        while not listener.ended and not listener.connection.gone:
            if not self._caught_up:
                await self._catch_up(send)
            self._caught_up = False  # After the broadcast, and where the others have more.
            if broadcasts.join(listener, self._query, self._form):
                with listener.waiting():
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    return

    async def _catch_up(self, send: Send) -> None:
        """Send what lies between the cursor and the head of the log, as fast as it is taken.

        While the database cannot be reached it says that the stream is alive, and tries again.
        """
        listener, backoff = self._listener, Backoff()
        while True:
            try:
                return await self._read_on(send)
            except StorageError as error:
                if not error.transient or listener.connection.gone:
                    raise
                await _send(send, self._form.alive(listener.cursor))
                await anyio.sleep(backoff.next())

    async def _read_on(self, send: Send) -> None:
        listener = self._listener
        changes = self._gateway.subscribe(self._query, listener.cursor)
        changes.give_up_at(time.monotonic())
        async with changes:
            async for event in changes:
                if listener.ended or listener.connection.gone:
                    return
                cursor = changes.cursor or listener.cursor
                await _send(send, self._form.event(cursor, event))
                listener.cursor = cursor
            listener.cursor = changes.cursor or listener.cursor


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _event(cursor: Cursor, event: Event) -> bytes:
    data = to_json(event_body(event))
    return b"id: %b\ndata: %b\n\n" % (encode_cursor(cursor).encode(), data)


_FORM: Final = Form(_event, lambda _: b": alive\n\n")


async def get_live(gateway: Gateway, request: Request) -> LiveStream:
    """Answer with a stream of events after a cursor, without an end of its own."""
    query = read_filter(request)
    token = gateway.access.require_streams(request, "read", query.streams)
    last = request.headers.get("last-event-id")
    after = read_after(request) if last is None else decode_cursor(last)
    cursor = await gateway.place_of(after)  # A cursor of another history is no broken stream.
    return LiveStream(
        gateway,
        request,
        token,
        query,
        cursor,
        _FORM,
        b": connected\n\n",
        caught_up=after is END,
    )


ROUTES: Final = (
    Route("GET", "/v1/events/live", get_live, parameters=("after", "streams"), repeated=FILTERS),
)
