"""Whether there are spans: only where the program uses OpenTelemetry, of which nothing is imported.

A program that makes spans has imported the API, and has set up a provider of them. Where it has
not, asking costs one look at the loaded modules.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from opentelemetry.trace import Span

    from eventstore.system.spans import Spans

API: Final = "opentelemetry.trace"
"""The module that a program which makes spans has imported."""

TRACEPARENT: Final = "traceparent"
"""The name of a trace context in headers and in metadata: W3C Trace Context."""

Spanning: TypeAlias = "AbstractContextManager[Span | None]"

NO_SPAN: Final[Spanning] = nullcontext()
"""What a block without a span is entered with."""

loaded: Final = sys.modules


def find_spans() -> Spans | None:
    """Return what makes spans; None where the program has set up no provider of them."""
    if API not in loaded:
        return None
    found: Spans | None = _module().spans_in_force()
    return found


def current_span() -> Span | None:
    """Return the span that the caller is in, where it is recorded."""
    if API not in loaded:
        return None
    span: Span | None = _module().current_span()
    return span


def current_traceparent() -> str:
    """Return the trace context of the span that the caller is in; empty where none is recorded."""
    span = current_span()
    if span is None:
        return ""
    at = span.get_span_context()
    return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}"


def add_trace_headers(headers: MutableMapping[str, str]) -> None:
    """Add the trace context that the caller is in to the headers of a request."""
    spans = find_spans()
    if spans is not None:
        spans.inject(headers)


def fail_span(span: Span | None, kind: str) -> None:
    """Mark a span as failed, where there is one; ``kind`` names the error."""
    spans = find_spans()
    if span is not None and spans is not None:
        spans.fail(span, kind)


@cache
def _module() -> Any:
    from eventstore.system import spans  # noqa: PLC0415 - imports the API, as the program has

    return spans
