"""``/v1/store``: what a store by URL asks, in the words of :mod:`eventstore.remote.wire`.

Operations that come in one request are queued together, and join one group of the writer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio
import msgspec
from starlette.responses import Response

from eventstore import limits
from eventstore.changes.rejections import CATEGORY, CHANGE_REJECTED
from eventstore.errors import EventStoreError, InvalidInputError, LogReplacedError, StorageError
from eventstore.log.events import END
from eventstore.log.names import check_name
from eventstore.log.operations import (
    Acknowledge,
    Append,
    OpenConsumer,
    Query,
    RemoveConsumer,
    RemoveReport,
    RewindConsumer,
    StoreReport,
)
from eventstore.log.validation import (
    check_after,
    check_append,
    check_cursor_fields,
    check_filter,
    check_report,
)
from eventstore.remote import wire
from eventstore.server._broadcasts import Form
from eventstore.server._live import LiveStream
from eventstore.server._problems import HttpError, answer
from eventstore.server._requests import receive
from eventstore.server.routes import NO_STORE, Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.changes.protocol import FollowedLog
    from eventstore.log.events import Cursor
    from eventstore.log.operations import Operation
    from eventstore.server._gateway import Gateway
    from eventstore.server.tokens import Token

T = TypeVar("T")


async def post_read(gateway: Gateway, request: Request) -> Response:
    """Answer a question about the log."""
    token = gateway.access.require(request, "read")
    asked: wire.Read = await _read_body(request, wire.Read)  # type: ignore[arg-type]
    return _answer(await _read(gateway, request, token, asked))


async def _read(gateway: Gateway, request: Request, token: Token, asked: wire.Read) -> Any:
    log = gateway.store.feed.log
    match asked:
        case wire.ReadHead():
            head = await gateway.store.head()
            return wire.Identity(head, log.incarnation, token.streams)
        case wire.ReadPage():
            if asked.until is None or asked.until > asked.after:
                gateway.access.require_streams(request, "read", asked.streams)
            # Otherwise it asks for a place, and no event is in it.
            return wire.PageAnswer.of(await gateway.sealed_reads.page(_checked(asked)))
        case wire.ReadStreams(prefix, after, limit):
            gateway.access.require_streams(request, "read", prefix or None)
            return await log.stream_states(prefix, after, limit)
        case wire.ReadToldViews() | wire.ReadReports():  # They may tell of any stream.
            gateway.access.require_streams(request, "read", None)
    return await _read_state(log, asked)


async def _read_state(log: FollowedLog, asked: wire.ReadState) -> Any:
    match asked:
        case wire.ReadConsumers(names):
            return await log.consumers(names)
        case wire.ReadSlowest(limit, among):
            number, more, states = await log.slowest_consumers(limit, among)
            return wire.SlowestAnswer(number, more, states)
        case wire.ReadToldViews():
            return await log.told_views()
        case wire.ReadViews():
            return await log.views()
        case wire.ReadReports():
            return await log.reports()


def _checked(asked: wire.ReadPage) -> Query:
    """Return the query of a client, whose names and sizes nothing has checked yet."""
    filters = check_filter(
        asked.streams,
        asked.types,
        asked.exclude_streams or None,
        asked.exclude_types or None,
        kept=asked.kept,
    )
    if asked.expect is not None:
        check_cursor_fields(asked.expect)
    for name, _epoch in asked.consumers:
        check_name("consumer", name, limits.MAX_CONSUMER_BYTES)
    query = wire.query_of(asked)
    return msgspec.structs.replace(
        query, types=filters.types, exclude_types=filters.exclude_types, limit=max(1, query.limit)
    )


async def post_write(gateway: Gateway, request: Request) -> Response:
    """Carry out operations side by side; answer with the outcome of each."""
    group = await _read_body(request, wire.Group)
    _check_identity(gateway, group)
    outcomes: list[wire.SentOutcome | None] = [None] * len(group.operations)

    async def carry_out(at: int, sent: wire.Sent) -> None:
        try:
            operation = await _operation(gateway, request, sent)
            outcomes[at] = _sent(await gateway.store.feed.log.write(operation))
        except StorageError:
            raise  # Of all of them: the database cannot be reached, for example.
        except EventStoreError as error:
            problem = answer(error)
            outcomes[at] = wire.SentProblem(problem.status_code, bytes(problem.body))

    try:
        async with anyio.create_task_group() as tasks:
            for at, sent in enumerate(group.operations):
                tasks.start_soon(carry_out, at, sent)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return _answer(outcomes)


def _check_identity(gateway: Gateway, group: wire.Group) -> None:
    """Raise LogReplacedError where a client has opened another log, or another copy of it."""
    log = gateway.store.feed.log
    here = log.newest.log_id, log.incarnation
    if here != (group.log_id, group.incarnation):
        raise LogReplacedError("the server", group.log_id, group.incarnation, *here)


async def _operation(gateway: Gateway, request: Request, sent: wire.Sent) -> Operation:
    if isinstance(sent, wire.SentAppend):
        return _append(gateway, request, sent)
    gateway.access.require(request, "ack")
    name = check_name("consumer", sent.name, limits.MAX_CONSUMER_BYTES)
    match sent:
        case wire.SentOpen(_, owner, start):
            if start is not None:
                await _check_history(gateway, start)
            return OpenConsumer(name, _owner(owner), start)
        case wire.SentRemove():
            return RemoveConsumer(name)
        case wire.SentRewind(_, to, owner):
            place = check_after(to)
            return RewindConsumer(name, cast("int | Cursor", place), _owner(owner))
        case wire.SentAck(_, epoch, cursor):
            await _check_history(gateway, cursor)
            return Acknowledge(name, epoch, cursor)
        case wire.SentReport(_, report):
            return RemoveReport(name) if report is None else StoreReport(name, check_report(report))


async def _check_history(gateway: Gateway, cursor: Cursor) -> None:
    """Raise HistoryDivergedError for a cursor of another history, also below a trim."""
    at = check_cursor_fields(cursor).position
    query = Query(after=at, until=at, limit=1, expect=cursor, kept=True)
    await gateway.store.feed.page(query)


def _owner(owner: str) -> str:
    return check_name("owner", owner, limits.MAX_CONSUMER_BYTES)


def _append(gateway: Gateway, request: Request, sent: wire.SentAppend) -> Append:
    try:
        writes = [write.write() for write in sent.writes]
    except EventStoreError:
        raise
    except (msgspec.MsgspecError, ValueError, IndexError, RecursionError) as error:
        raise InvalidInputError("append", str(error)[:500]) from error
    rejections = bool(writes) and all(write.stream.startswith(CATEGORY) for write in writes)
    if rejections and all(e.type == CHANGE_REJECTED for w in writes for e in w.events):
        # What a consumer says of itself.
        gateway.access.require(request, "ack")
        return check_append(writes, own=CATEGORY)
    for write in writes:
        gateway.access.require_streams(request, "append", write.stream)
    return check_append(writes)


def _sent(outcome: Any) -> wire.SentOutcome:
    if outcome is None or not hasattr(outcome, "versions"):
        return wire.SentState(outcome)
    return wire.SentAppended.of(outcome)


async def get_live(gateway: Gateway, request: Request) -> LiveStream:
    """Answer with a stream of positions, as Server-Sent Events: a hint that there is more."""
    token = gateway.access.require(request, "read")
    cursor = await gateway.place_of(END)
    begun = _position(cursor)
    return LiveStream(gateway, request, token, Query(), cursor, _POSITIONS, begun, caught_up=True)


def _position(cursor: Cursor) -> bytes:
    return b"data: %d\n\n" % cursor.position


_POSITIONS: Final = Form(lambda cursor, _: _position(cursor), _position)


async def _read_body(request: Request, shape: type[T]) -> T:
    kind = request.headers.get("content-type", "").strip().lower()
    if kind != wire.MEDIA_TYPE:
        raise HttpError(415, f"send {wire.MEDIA_TYPE}")
    try:
        return msgspec.msgpack.decode(await receive(request), type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInputError("body", str(error)[:500]) from error


def _answer(value: Any) -> Response:
    return Response(wire.encode(value), headers=NO_STORE, media_type=wire.MEDIA_TYPE)


ROUTES: Final = (
    Route("POST", wire.READ_PATH, post_read),
    Route("POST", wire.WRITE_PATH, post_write, ("append", "ack")),
    Route("GET", wire.LIVE_PATH, get_live),
)
