"""``/v1/pages``: complete pages of the log by position, which a cache may keep.

A URL names all that an answer depends on: the generation of the log, the positions, the filter;
never the token. The generation changes with each redaction and each trim, and with the copy of the
log. So an answer never changes under its URL, and content that was redacted is not under the URLs
that clients ask for from then on. A cache keeps it until ``max-age`` at the most.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from eventstore.log.operations import Query
from eventstore.log.redaction import REDACTIONS
from eventstore.server._cursors import encode_cursor, event_body
from eventstore.server._problems import HttpError
from eventstore.server._requests import FILTERS, read_filter, to_json
from eventstore.server.routes import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from eventstore.log.events import Cursor, Event
    from eventstore.log.operations import Head
    from eventstore.server._gateway import Gateway
    from eventstore.store.event_store import EventStore

PAGE_SIZE: Final = 1_024
"""Positions of a page: the first one has 1 to 1024."""

_SPAN: Final = re.compile(r"([1-9][0-9]{0,15})-([1-9][0-9]{0,15})")


async def read_generation(store: EventStore, head: Head) -> str:
    """Return a word that changes where something that was there is gone, and with the log."""
    last = Query(streams=REDACTIONS, backwards=True, limit=1, oldest=True)
    page = await store.feed.page(last)
    redacted = page.events[0].position if page.events else 0
    facts = f"{head.log_id}:{store.feed.log.incarnation}:{head.first_position}:{redacted}"
    return sha256(facts.encode()).hexdigest()[:32]


async def get_page(gateway: Gateway, request: Request) -> Response:
    """Answer with the events of a complete page that match, and the cursor after it."""
    query = read_filter(request)
    gateway.access.require_streams(request, "read", query.streams)
    first, last = _read_span(request.path_params["span"])
    store = gateway.store
    head = await store.head()
    # Before the page is read: content that is redacted now is never served under a newer name.
    if request.path_params["generation"] != await read_generation(store, head):
        raise HttpError(410, "the log has another generation: /v1/log has it")
    if last > head.position:
        raise HttpError(404, "this page is not complete yet: read /v1/events")
    if last < head.first_position:
        raise HttpError(410, f"the log begins at position {head.first_position}")
    after = max(first, head.first_position) - 1
    events, cursor = await _read(store, query, after, last)
    values = {
        "first": after + 1,
        "last": last,
        "events": [event_body(event) for event in events],
        "cursor": encode_cursor(cursor),
    }
    return Response(
        to_json(values),
        headers={"cache-control": cache_control(gateway)},
        media_type="application/json",
    )


def cache_control(gateway: Gateway) -> str:
    """Return what a page says to caches."""
    settings = gateway.settings
    whose = "public" if settings.shared_pages else "private"
    return f"{whose}, max-age={settings.page_max_age}, immutable"


def _read_span(text: str) -> tuple[int, int]:
    found = _SPAN.fullmatch(text)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    # One URL for each event: pages that overlap would fill caches with the same content.
    if first % PAGE_SIZE != 1 or last != first + PAGE_SIZE - 1:
        raise HttpError(404, f"pages are 1-{PAGE_SIZE}, {PAGE_SIZE + 1}-{2 * PAGE_SIZE} and so on")
    return first, last


async def _read(
    store: EventStore, query: Query, after: int, last: int
) -> tuple[list[Event], Cursor]:
    found: list[Event] = []
    query = msgspec.structs.replace(query, until=last, limit=PAGE_SIZE, oldest=False)
    while True:
        asked = msgspec.structs.replace(query, after=after)
        page = await store.feed.page(asked)
        found += page.events
        after = page.through.position
        if after >= last:
            return found, page.through


ROUTES: Final = (
    Route(
        "GET",
        "/v1/pages/{generation}/{span}",
        get_page,
        parameters=("streams",),
        repeated=FILTERS,
    ),
)
