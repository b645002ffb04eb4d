"""``/v1/views``: every version of every view, in the log's database and in others, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.server.routes import Gateway, Route, tagged
from projections.elsewhere import read_elsewhere
from projections.tables.view_facts import look_at_views
from projections.tables.view_states import describe_views
from projections.troubles import read_troubles

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore import EventStore


def view_routes(_store: EventStore) -> list[Route]:
    """Return the routes of views."""
    return [Route("GET", "/v1/views", get_views)]


async def get_views(gateway: Gateway, request: Request) -> Response:
    """Answer with each version of each view: its state, position, lag and size."""
    gateway.access.require_streams(request, "read", None)  # A view may tell of any stream.
    store = gateway.store
    look = await look_at_views(store)
    told, troubles = await read_elsewhere(store), await read_troubles(store)
    views = describe_views(look, None, troubles, store.url, told, store.clock())
    return tagged(request, {"position": look.head, "views": views})
