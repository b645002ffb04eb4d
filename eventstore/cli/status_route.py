"""``/v1/status``: what the command ``status`` tells, for pages and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.cli.status_report import WITHIN_SECONDS, read_report
from eventstore.server.routes import Gateway, Route, tagged
from eventstore.store.status import SEARCHED_CONSUMERS, SHOWN_CONSUMERS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from eventstore import EventStore

_HIDDEN: Final = ("url", "file", "directory")
"""Facts about the server's host, which are none of a client's business."""


def status_routes(_store: EventStore) -> list[Route]:
    """Return the route of the log's status."""
    return [Route("GET", "/v1/status", get_status)]


async def get_status(gateway: Gateway, request: Request) -> Response:
    """Answer with facts of the log, the sections of the packages, and what is not well."""
    gateway.access.require_streams(request, "read", None)
    store = gateway.store
    report = await read_report(
        store, within=WITHIN_SECONDS, limit=SHOWN_CONSUMERS, among=SEARCHED_CONSUMERS
    )
    facts = {name: value for name, value in report.facts.items() if name not in _HIDDEN}
    sections = {
        section: [
            {"name": one.name, "line": one.line, "fault": one.fault, "values": one.values}
            for one in entries
        ]
        for section, entries in report.sections.items()
    }
    return tagged(request, {"faults": report.faults, "facts": facts, "sections": sections})
