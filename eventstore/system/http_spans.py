"""The spans of requests, by OpenTelemetry's conventions for HTTP.

A route stands for its path, which may name streams; queries and headers are in no attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.system.traces import NO_SPAN, current_span, fail_span, find_spans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

    from eventstore.system.spans import Attributes
    from eventstore.system.traces import Spanning


def client_span(method: str, path: str, host: str, port: int) -> Spanning:
    """Return the span of a request to a server, where the caller is in one that is recorded."""
    spans = find_spans() if current_span() is not None else None
    if spans is None:
        return NO_SPAN
    attributes: Attributes = {
        "http.request.method": method,
        "server.address": host,
        "server.port": port,
    }
    span = spans.start(f"{method} {path}", "CLIENT", attributes, links=spans.other_callers())
    return spans.within(span)


def server_span(method: str, route: str, headers: Mapping[str, str]) -> Spanning:
    """Return the span of a request that is answered, in the trace that its headers name."""
    spans = find_spans()
    if spans is None:
        return NO_SPAN
    attributes = {"http.request.method": method, "http.route": route}
    parent = spans.extract(headers)
    return spans.within(spans.start(f"{method} {route}", "SERVER", attributes, parent=parent))


def note_answer(span: Span | None, status: int, failed: int) -> None:
    """Say in a span how a request was answered; from the status ``failed`` on it has failed."""
    if span is not None:
        span.set_attribute("http.response.status_code", status)
        if status >= failed:
            fail_span(span, str(status))
