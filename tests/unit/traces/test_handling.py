"""What is done with an event belongs to the trace of its append."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from support.recorded_spans import links, own, parent, traceparent
from support.rule_events import definition_data
from support.totals import Totals

from eventstore import NewEvent, ProjectionError
from eventstore.outbox import Outbox
from eventstore.outbox.webhook import Webhook
from projections import ProjectionRunner
from projections.rules import RuleStore

if TYPE_CHECKING:
    from support.recorded_spans import Recorded

    from eventstore import EventStore

pytestmark = pytest.mark.anyio


async def append_in_span(
    store: EventStore, spans: Recorded, stream: str = "order/1", data: Any = 1, type_: str = "T"
) -> str:
    """Append an event in a span of its own; return the context that it carries."""
    with spans.tracer.start_as_current_span("request") as request:
        await store.append(stream, [NewEvent(type_, data)])
    return traceparent(request)


async def test_a_view_applies_one_append_in_its_trace_and_several_with_links(
    store: EventStore, spans: Recorded
) -> None:
    runner = ProjectionRunner(store, Totals().at(store.url))
    await append_in_span(store, spans)
    await runner.catch_up()
    (request,) = spans.all("request")
    (span,) = spans.all("apply order/")
    assert (parent(span), span.kind) == (own(request), SpanKind.CONSUMER)
    assert span.attributes == {
        "messaging.system": "eventstore",
        "messaging.operation.name": "apply",
        "messaging.operation.type": "process",
        "messaging.destination.name": "order/",
        "messaging.batch.message_count": 1,
        "messaging.consumer.group.name": "totals",
        "eventstore.position": 1,
    }

    await append_in_span(store, spans)
    await append_in_span(store, spans)
    await runner.catch_up()
    _, second, third = spans.all("request")
    (_, span) = spans.all("apply order/")
    assert (parent(span), links(span)) == (0, {own(second), own(third)})


async def test_a_view_that_stops_is_named_by_the_class_of_its_error(
    store: EventStore, spans: Recorded
) -> None:
    await append_in_span(store, spans, type_="Bad")
    with pytest.raises(ProjectionError):
        await ProjectionRunner(store, Totals().at(store.url)).catch_up()
    span = spans.one("apply order/")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert not span.events


async def test_events_without_a_context_make_no_span(store: EventStore, spans: Recorded) -> None:
    await store.append("order/1", [NewEvent("T", 1)])
    for wrong in ("", "nonsense", 7, None, {"a": 1}, "0" * 9_000):
        await store.append("order/1", [NewEvent("T", 1, metadata={"traceparent": wrong})])
    async with store.subscribe_changes(consumer="w", follow=False) as changes:
        assert len([event async for event in changes]) == 7
    await ProjectionRunner(store, Totals().at(store.url)).catch_up()
    assert {one.name for one in spans.all()} == {"append order/"}


async def test_a_consumer_handles_an_event_until_it_asks_for_the_next(
    store: EventStore, spans: Recorded
) -> None:
    await append_in_span(store, spans)
    await append_in_span(store, spans)
    async with store.subscribe_changes(consumer="billing") as changes:
        await anext(changes)
        assert not spans.all("handle order/")
        await anext(changes)
        assert len(spans.all("handle order/")) == 1
    requests, handled = spans.all("request"), spans.all("handle order/")
    assert [parent(one) for one in handled] == [own(one) for one in requests]
    assert (handled[0].attributes or {})["messaging.consumer.group.name"] == "billing"

    async with store.subscribe_changes(consumer="commits") as changes:
        await anext(changes.commits())
        await changes.ack()
        assert len(spans.all("handle order/")) == 3


async def test_an_engine_applies_a_rule_in_the_trace_of_its_change(
    store: EventStore, spans: Recorded
) -> None:
    rules = RuleStore(store, consumer="engine")
    await rules.load_compiled()
    data = definition_data("R1", "r1.yml")
    await append_in_span(store, spans, "rule/R1", data, "RuleDefined")
    changes = rules.subscribe_changes()
    assert (await anext(changes)).rule_id == "R1"
    await changes.aclose()
    assert parent(spans.one("handle rule/")) == own(spans.one("request"))


async def test_a_webhook_gets_the_context_of_its_delivery(
    store: EventStore, spans: Recorded
) -> None:
    await append_in_span(store, spans)
    await append_in_span(store, spans)
    posted: list[httpx.Request] = []

    def receive(request: httpx.Request) -> httpx.Response:
        posted.append(request)
        return httpx.Response(204 if len(posted) == 1 else 410)

    client = httpx.AsyncClient(transport=httpx.MockTransport(receive))
    async with Webhook("https://hook.example", client=client) as deliver:
        await Outbox(store, "billing", deliver).run(follow=False)
    requests, deliveries = spans.all("request"), spans.all("deliver order/")
    assert [parent(one) for one in deliveries] == [own(one) for one in requests]
    assert [one.headers["traceparent"] for one in posted] == [
        traceparent(one) for one in deliveries
    ]
    states = [one.status.status_code for one in deliveries]
    assert states == [StatusCode.UNSET, StatusCode.ERROR]
    # What the outbox writes of a letter that it has given up belongs to the same trace.
    assert parent(spans.one("append consumer/")) == own(deliveries[1])
