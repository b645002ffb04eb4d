"""``/v1/log``, ``/v1/events``: where the log is, and pages of it, with a wait for new events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import msgspec
from starlette.responses import Response

from eventstore.log.events import END, OLDEST, Cursor
from eventstore.server._cursors import encode_cursor, event_body, page_body
from eventstore.server._pages import PAGE_SIZE, read_generation
from eventstore.server._requests import (
    FILTERS,
    read_after,
    read_filter,
    read_number,
)
from eventstore.server.routes import NO_STORE, Route, json_answer

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.log.events import Special
    from eventstore.log.operations import Page, Query
    from eventstore.server._gateway import Gateway
    from eventstore.server.tokens import Token

LARGEST_PAGE: Final = 1_024
"""Events of a page, at the most."""

DEFAULT_LAST: Final = 100
"""Events that ``/v1/events/last`` answers with, unless it is told how many."""

LONGEST_WAIT: Final = 60.0
"""Seconds that a request waits for an event, at the most."""

SHARED: Final = {"cache-control": "public, max-age=1"}
"""What an answer behind a cursor says to a proxy where requests wait as one."""


async def get_log(gateway: Gateway, request: Request) -> Response:
    """Answer with the log's id and ends, the cursor of its head, and how its pages are named."""
    gateway.access.require(request, "read")
    head = await gateway.store.head()
    values = {
        "log_id": head.log_id,
        "first_position": head.first_position,
        "position": head.position,
        "cursor": encode_cursor(head.cursor),
        "generation": await read_generation(gateway.store, head),
        "page_size": PAGE_SIZE,
    }
    return json_answer(values)


async def get_events(gateway: Gateway, request: Request) -> Response:
    """Answer with the events after a cursor, and the cursor after them.

    ``wait`` seconds pass before an answer without events, and no longer than the server runs.
    """
    query = read_filter(request)
    token = gateway.access.require_streams(request, "read", query.streams)
    limit = int(read_number(request, "limit", LARGEST_PAGE, LARGEST_PAGE))
    query = msgspec.structs.replace(query, limit=max(1, limit))
    after = read_after(request)
    wait = read_number(request, "wait", 0.0, LONGEST_WAIT)
    shared = gateway.settings.shared_pages and wait > 0 and isinstance(after, Cursor)
    page = await _read_page(gateway, query, after)
    body = page_body(page) if page.events else None
    if body is None and wait:
        body = await _wait_for_page(gateway, request, token, query, page.through, wait)
        # What was read for all that wait is for those whose token is still in force.
        gateway.access.require_streams(request, "read", query.streams)
    # With the same cursor as before, clients would be given this answer again, at once.
    body = body or page_body(page, mark=gateway.store.clock() if shared else None)
    return Response(body, headers=SHARED if shared else NO_STORE, media_type="application/json")


async def get_last(gateway: Gateway, request: Request) -> Response:
    """Answer with the newest events that match, the oldest first, and the cursor of the head."""
    query = read_filter(request)
    gateway.access.require_streams(request, "read", query.streams)
    limit = max(1, int(read_number(request, "limit", DEFAULT_LAST, LARGEST_PAGE)))
    head = await gateway.store.head()
    reader = gateway.store.read(
        until=head.cursor,
        streams=query.streams,
        types=query.types,
        exclude_streams=query.exclude_streams,
        exclude_types=query.exclude_types,
        backwards=True,
        limit=limit,
    )
    events = [event_body(event) async for event in reader]
    return json_answer({"events": events[::-1], "cursor": encode_cursor(head.cursor)})


async def _read_page(gateway: Gateway, query: Query, after: Cursor | Special) -> Page:
    if after is END:
        after = (await gateway.store.head()).cursor
    if isinstance(after, Cursor):
        query = msgspec.structs.replace(query, after=after.position, expect=after, oldest=False)
    else:
        assert after is OLDEST  # noqa: S101 - decode_cursor gives no other
    return await gateway.reads.page(query)


async def _wait_for_page(
    gateway: Gateway, request: Request, token: Token, query: Query, after: Cursor, seconds: float
) -> bytes | None:
    """Return what has come behind a cursor; None where the wait has ended without it."""
    found: bytes | None = None
    try:
        with gateway.waiting(request, token, seconds):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_end_when_gone, request, tasks.cancel_scope)
                found = await gateway.waits.answer(query, after)
                tasks.cancel_scope.cancel()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return found


async def _end_when_gone(request: Request, scope: anyio.CancelScope) -> None:
    """End the wait of a client that has closed its connection: it is read for no more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


ROUTES: Final = (
    Route("GET", "/v1/log", get_log),
    Route(
        "GET",
        "/v1/events",
        get_events,
        parameters=("after", "streams", "limit", "wait"),
        repeated=FILTERS,
    ),
    Route(
        "GET",
        "/v1/events/last",
        get_last,
        parameters=("streams", "limit"),
        repeated=FILTERS,
    ),
)
