"""The spans of what is done with events, by OpenTelemetry's conventions for messaging.

Attributes are names of categories, consumers and views, numbers and classes of errors: no content,
no key of a stream and no text of a caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.log.operations import Append
from eventstore.system.traces import API, NO_SPAN, current_span, find_spans, loaded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opentelemetry.trace import Span, SpanContext

    from eventstore.log.events import Appended, Event
    from eventstore.log.operations import Page, Query
    from eventstore.system.spans import Attributes, Spans
    from eventstore.system.traces import Spanning

SYSTEM: Final = "eventstore"
SEVERAL: Final = "several"
"""Stands for the category where there is more than one."""

MAX_TRACEPARENT: Final = 512
MAX_CAUSES: Final = 32
"""Different trace contexts that are looked for among the events of a batch."""

_MARK: Final = b'"traceparent"'


class _Carried(msgspec.Struct):
    traceparent: str = ""


def append_span(operation: object) -> Spanning:
    """Return the span of an append; of any other operation none."""
    if API not in loaded:
        return NO_SPAN
    spans = find_spans()
    if spans is None or not isinstance(operation, Append):
        return NO_SPAN
    where = _category(write.stream for write in operation.writes)
    attributes = _attributes("append", "send", where, operation.events)
    return spans.within(spans.start(f"append {where}", "PRODUCER", attributes))


def note_appended(span: Span | None, appended: Appended) -> None:
    """Say in a span what an append has come to."""
    if span is not None:
        span.set_attribute("eventstore.position", appended.position)
        span.set_attribute("eventstore.duplicate", appended.duplicate)


def read_span(query: Query) -> Spanning:
    """Return the span of the read of a page, where the caller is in a span that is recorded.

    Followers read all the time: by themselves these reads are no trace.
    """
    spans = find_spans() if current_span() is not None else None
    if spans is None:
        return NO_SPAN
    where = _category([query.streams] if query.streams else [])
    attributes: Attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "read",
        "messaging.operation.type": "receive",
        "messaging.destination.name": where,
    }
    return spans.within(spans.start(f"read {where}".rstrip(), "CLIENT", attributes))


def note_page(span: Span | None, page: Page) -> None:
    """Say in a span what a page has."""
    if span is not None:
        span.set_attribute("messaging.batch.message_count", len(page.events))
        span.set_attribute("eventstore.position", page.through.position)


def handling_span(operation: str, group: str, events: Sequence[Event]) -> Spanning:
    """Return the span in which ``group``, a consumer or a view, handles events.

    There is none where no event carries a trace context. Of one context the span is a child; to
    several it has links.
    """
    spans = find_spans()
    span = start_handling(spans, operation, group, events)
    return NO_SPAN if span is None or spans is None else spans.within(span)


def start_handling(
    spans: Spans | None, operation: str, group: str, events: Sequence[Event]
) -> Span | None:
    """Return what :func:`handling_span` is made of, not the current span, to be ended."""
    causes = [] if spans is None else _causes(spans, events)
    if spans is None or not causes:
        return None
    where = _category(event.stream for event in events)
    attributes = {
        **_attributes(operation, "process", where, len(events)),
        "messaging.consumer.group.name": group,
        "eventstore.position": events[-1].position,
    }
    return spans.start_after(f"{operation} {where}", "CONSUMER", attributes, causes)


def _causes(spans: Spans, events: Sequence[Event]) -> list[SpanContext]:
    """Return the different trace contexts that events carry, in their order."""
    found: dict[str, SpanContext] = {}
    for event in events:
        raw = event.raw_metadata
        if raw and _MARK in raw and (text := _carried(raw)) and text not in found:
            context = spans.read(text)
            if context is not None:
                found[text] = context
                if len(found) == MAX_CAUSES:
                    break
    return list(found.values())


def _carried(raw: bytes) -> str:
    try:
        text = msgspec.json.decode(raw, type=_Carried).traceparent
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""  # The metadata of others may have anything by that name.
    return text if len(text) <= MAX_TRACEPARENT else ""


def _attributes(name: str, kind: str, where: str, count: int) -> dict[str, str | int | bool]:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": where,
        "messaging.batch.message_count": count,
    }


def _category(streams: Iterable[str]) -> str:
    """Return the category of streams."""
    categories = {stream[: stream.find("/") + 1] for stream in streams}
    return categories.pop() if len(categories) == 1 else SEVERAL if categories else ""
