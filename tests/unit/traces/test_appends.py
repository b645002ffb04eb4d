"""An append has a span, and its event carries the trace context in which it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from support.recorded_spans import own, parent, recording, traceparent

import eventstore.sync
from eventstore import NO_STREAM, ConflictError, EventStore, NewEvent, StreamWrite, limits

if TYPE_CHECKING:
    from support.recorded_spans import Recorded

pytestmark = pytest.mark.anyio


async def test_an_event_carries_the_span_in_which_it_was_made(
    store: EventStore, spans: Recorded
) -> None:
    with spans.tracer.start_as_current_span("request") as request:
        new = NewEvent("Placed", {"card": "4111"}, metadata={"by": "ana"})
        done = await store.append("order/secret-17", [new])

    (event,) = [one async for one in store.read()]
    assert event.metadata == {"by": "ana", "traceparent": traceparent(request)}
    append = spans.one("append order/")
    assert (parent(append), append.kind) == (own(request), SpanKind.PRODUCER)
    assert append.attributes == {
        "messaging.system": "eventstore",
        "messaging.operation.name": "append",
        "messaging.operation.type": "send",
        "messaging.destination.name": "order/",
        "messaging.batch.message_count": 1,
        "eventstore.position": done.position,
        "eventstore.duplicate": False,
    }


async def test_a_retry_in_another_span_is_a_duplicate_and_no_conflict(
    store: EventStore, spans: Recorded
) -> None:
    with spans.tracer.start_as_current_span("first"):
        new, named = NewEvent("Placed", 1), NewEvent("Placed", 1, id="order-1")
        await store.append("a/1", [new])
        await store.append("a/2", [named])
    with spans.tracer.start_as_current_span("second"):
        assert (await store.append("a/1", [new])).duplicate
        again = NewEvent("Placed", 1, id="order-1")
        assert (await store.append("a/2", [again])).duplicate
    assert named.metadata == again.metadata == {}
    said = [(one.attributes or {})["eventstore.duplicate"] for one in spans.all("append a/")]
    assert said == [False, False, True, True]


def test_what_the_caller_says_stands_and_no_event_is_refused_for_its_trace(spans: Recorded) -> None:
    with spans.tracer.start_as_current_span("request"):
        given = {"traceparent": 7}
        assert NewEvent("T", 1, metadata=given).metadata == given
        full = {"m": "x" * (limits.MAX_METADATA_BYTES - len('{"m":""}'))}
        assert NewEvent("T", 1, metadata=full).metadata == full


def test_what_no_span_records_is_not_carried(spans: Recorded) -> None:
    assert NewEvent("T", 1).raw_metadata == b""
    with recording(ALWAYS_OFF) as off, off.tracer.start_as_current_span("not sampled"):
        assert NewEvent("T", 1).raw_metadata == b""


async def test_a_failed_append_is_named_by_the_class_of_its_error(
    store: EventStore, spans: Recorded
) -> None:
    writes = [StreamWrite("a/1", [NewEvent("T", 1)]), StreamWrite("b/1", [NewEvent("T", 1)])]
    await store.append_many(writes)
    with pytest.raises(ConflictError):
        await store.append("a/1", [NewEvent("T", "secret")], expected=NO_STREAM)
    done, failed = spans.one("append several"), spans.one("append a/")
    assert done.status.status_code is StatusCode.UNSET
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert (failed.attributes or {})["error.type"] == "ConflictError"
    assert not failed.events


async def test_a_page_is_read_in_the_callers_span_and_followers_make_no_trace(
    store: EventStore, spans: Recorded
) -> None:
    await store.append("a/1", [NewEvent("T", number) for number in range(3)])
    async with store.subscribe_changes(follow=False) as changes:
        assert len([event async for event in changes]) == 3
    assert [one.name for one in spans.all()] == ["append a/"]

    with spans.tracer.start_as_current_span("report") as report:
        assert len([event async for event in store.read(streams="a/")]) == 3
    read = spans.one("read a/")
    assert (parent(read), read.kind) == (own(report), SpanKind.CLIENT)
    assert (read.attributes or {})["messaging.batch.message_count"] == 3


def test_the_blocking_store_makes_the_same_spans(url: str, spans: Recorded) -> None:
    with eventstore.sync.EventStore.open(url) as store:
        with spans.tracer.start_as_current_span("request") as request:
            store.append("a/1", [NewEvent("T", 1)])
        (event,) = store.read()
    assert event.metadata == {"traceparent": traceparent(request)}
    assert parent(spans.one("append a/")) == own(request)
