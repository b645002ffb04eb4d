"""``/v1/streams`` and ``/v1/consumers``: appends, and the checkpoints of named consumers."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from eventstore import limits
from eventstore.errors import InvalidInputError, UnknownConsumerError
from eventstore.log.events import Cursor, NewEvent
from eventstore.log.names import check_name
from eventstore.log.operations import Acknowledge, OpenConsumer
from eventstore.server._cursors import decode_cursor, encode_cursor
from eventstore.server._requests import (
    ExpectedBody,
    read_body,
    read_expected,
    read_number,
)
from eventstore.server.routes import Route, json_answer
from eventstore.store.status import seconds_between

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.log.operations import ConsumerState
    from eventstore.server._gateway import Gateway

LONGEST_WAIT: Final = 60.0
"""Seconds that ``/wait`` waits, at the most."""


class NewEventBody(msgspec.Struct, forbid_unknown_fields=True):
    """An event to append: ``data`` or ``data_base64``, and the id that makes a retry safe."""

    type: str
    data: Any = None
    data_base64: str | None = None
    id: str | None = None
    metadata: dict[str, Any] | None = None

    def event(self) -> NewEvent:
        """Return the event; raise InvalidInputError for what none can be."""
        data = self.data
        if self.data_base64 is not None:
            if data is not None:
                raise InvalidInputError("event", "has data and data_base64: give one of them")
            try:
                data = base64.b64decode(self.data_base64, validate=True)
            except binascii.Error as error:
                raise InvalidInputError("data_base64", str(error)) from error
        return NewEvent(self.type, data, id=self.id, metadata=self.metadata)


class AppendBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an append."""

    events: list[NewEventBody]
    expected: ExpectedBody = "any"


class OpenBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body that opens a consumer: where a new name begins."""

    after: str = ""


class AckBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of an acknowledgement: ``epoch`` is what opening the consumer has answered."""

    cursor: str
    epoch: int


async def post_stream(gateway: Gateway, request: Request) -> Response:
    """Append events to a stream; answer with where they are."""
    stream = request.path_params["stream"]
    gateway.access.require_streams(request, "append", stream)
    body = await read_body(request, AppendBody)
    done = await gateway.store.append(
        stream,
        [one.event() for one in body.events],
        expected=read_expected(body.expected),
    )
    values = {
        "position": done.position,
        "version": done.version,
        "duplicate": done.duplicate,
        "cursor": encode_cursor(done.cursor),
    }
    return json_answer(values, 200 if done.duplicate else 201)


async def get_consumers(gateway: Gateway, request: Request) -> Response:
    """Answer with every named consumer, those that are furthest behind first."""
    gateway.access.require_streams(request, "read", None)
    store = gateway.store
    head, now = await store.head(), store.clock()
    states = sorted(
        await store.feed.log.consumers(), key=lambda state: (state.cursor.position, state.name)
    )
    found = [
        {
            "name": state.name,
            "position": state.cursor.position,
            "lag": max(0, head.position - state.cursor.position),
            "owner": state.owner,
            "seen_seconds_ago": seconds_between(state.seen_us, now),
        }
        for state in states
    ]
    return json_answer({"position": head.position, "consumers": found})


async def get_consumer(gateway: Gateway, request: Request) -> Response:
    """Answer with a consumer's checkpoint."""
    gateway.access.require(request, "read")
    return json_answer(_state(await _find(gateway, request.path_params["name"])))


async def put_consumer(gateway: Gateway, request: Request) -> Response:
    """Open a consumer, which is created where it is new; its owner before loses the name."""
    token = gateway.access.require(request, "ack")
    name = check_name("consumer", request.path_params["name"], limits.MAX_CONSUMER_BYTES)
    body = await read_body(request, OpenBody)
    start = await gateway.place_of(decode_cursor(body.after))
    log, owner = gateway.store.feed.log, f"{token.name} by {gateway.store.owner}"
    try:
        state = await log.write(OpenConsumer(name, owner, None))
    except UnknownConsumerError:
        state = await log.write(OpenConsumer(name, owner, start))
    return json_answer(_state(state))


async def delete_consumer(gateway: Gateway, request: Request) -> Response:
    """Remove a consumer."""
    token = gateway.access.require(request, "ack")
    await gateway.store.remove_consumer(request.path_params["name"], by=token.name)
    return Response(status_code=204)


async def post_ack(gateway: Gateway, request: Request) -> Response:
    """Store a consumer's checkpoint; durable when it answers."""
    gateway.access.require(request, "ack")
    body = await read_body(request, AckBody)
    cursor = decode_cursor(body.cursor)
    if not isinstance(cursor, Cursor):
        raise InvalidInputError(f"cursor {body.cursor!r:.60}", "give one of an event or a page")
    await gateway.check_history(cursor)
    name = request.path_params["name"]
    await gateway.store.feed.log.write(Acknowledge(name, body.epoch, cursor))
    return Response(status_code=204)


async def get_wait(gateway: Gateway, request: Request) -> Response:
    """Answer once a consumer has done everything up to a position."""
    gateway.access.require(request, "read")
    name = request.path_params["name"]
    position = int(read_number(request, "position", 0, 2.0**53))
    seconds = read_number(request, "timeout", 30.0, LONGEST_WAIT)
    states = await gateway.store.wait_applied(position, [name], timeout=seconds)
    return json_answer(_state(states[0]))


async def _find(gateway: Gateway, name: str) -> ConsumerState:
    for state in await gateway.store.feed.log.consumers([name]):
        return state
    raise UnknownConsumerError(name)


def _state(state: ConsumerState) -> dict[str, Any]:
    return {
        "name": state.name,
        "position": state.cursor.position,
        "cursor": encode_cursor(state.cursor),
        "epoch": state.epoch,
        "owner": state.owner,
    }


ROUTES: Final = (
    Route("POST", "/v1/streams/{stream}", post_stream, "append", body=AppendBody),
    Route("GET", "/v1/consumers", get_consumers),
    Route("GET", "/v1/consumers/{name}", get_consumer),
    Route("PUT", "/v1/consumers/{name}", put_consumer, "ack", body=OpenBody),
    Route("DELETE", "/v1/consumers/{name}", delete_consumer, "ack"),
    Route("POST", "/v1/consumers/{name}/ack", post_ack, "ack", body=AckBody),
    Route("GET", "/v1/consumers/{name}/wait", get_wait, parameters=("position", "timeout")),
)
