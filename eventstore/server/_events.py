"""``/v1/log``, ``/v1/events``: where the log is, and pages of it, with a wait for new events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.log.events import END, OLDEST, Cursor
from eventstore.server._cursors import encode_cursor, event_values
from eventstore.server._pages import PAGE_SIZE, read_generation
from eventstore.server._requests import (
    FILTERS,
    read_after,
    read_filter,
    read_number,
)
from eventstore.server.routes import Route, json_answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore.log.events import Special
    from eventstore.log.operations import Page, Query
    from eventstore.server._gateway import Gateway
    from eventstore.server.tokens import Token
    from eventstore.store.event_store import EventStore

LARGEST_PAGE: Final = 1_024
"""Events of a page, at the most."""

LONGEST_WAIT: Final = 60.0
"""Seconds that a request waits for an event, at the most."""


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
    page = await read_page(gateway.store, query, after)
    wait = read_number(request, "wait", 0.0, LONGEST_WAIT)
    if not page.events and wait:
        await _wait_for_event(gateway, request, token, query, page.through, wait)
        page = await read_page(gateway.store, query, page.through)
    values: dict[str, Any] = {
        "events": [event_values(event) for event in page.events],
        "cursor": encode_cursor(page.through),
        "caught_up": page.through.position >= page.head.position,
    }
    return json_answer(values)


async def read_page(store: EventStore, query: Query, after: Cursor | Special) -> Page:
    """Read the page that follows a cursor."""
    if after is END:
        after = (await store.head()).cursor
    if isinstance(after, Cursor):
        query = msgspec.structs.replace(query, after=after.position, expect=after, oldest=False)
    else:
        assert after is OLDEST  # noqa: S101 - decode_cursor gives no other
    return await store.feed.page(query)


async def _wait_for_event(
    gateway: Gateway, request: Request, token: Token, query: Query, after: Cursor, seconds: float
) -> None:
    async with gateway.following(request, token, query, after) as changes:
        with anyio.move_on_after(seconds):
            async for _event in changes:
                return


ROUTES: Final = (
    Route("GET", "/v1/log", get_log),
    Route(
        "GET",
        "/v1/events",
        get_events,
        parameters=("after", "streams", "limit", "wait"),
        repeated=FILTERS,
    ),
)
