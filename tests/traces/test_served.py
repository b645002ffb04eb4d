"""A trace goes through a server: from a store by URL, and from any client with the header."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode
from support.commands import environment
from support.network import HOST
from support.recorded_spans import Recorded, links, own, parent, traceparent
from support.served import serving_log

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from support.served import Served

WRITE, READ = "POST /v1/store/write", "POST /v1/store/read"


@pytest.fixture
def anyio_backend() -> str:
    """Uvicorn runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
def served(url: str, spans: Recorded) -> Iterator[Served]:
    with serving_log(url) as served:
        yield served


def by_kind(spans: Recorded, name: str, kind: SpanKind) -> list[ReadableSpan]:
    return [one for one in spans.all(name) if one.kind is kind]


@pytest.mark.anyio
async def test_an_append_by_url_is_one_trace_on_both_sides(served: Served, spans: Recorded) -> None:
    async with EventStore.open(served.url) as store:
        with spans.tracer.start_as_current_span("request") as request:
            await store.append("order/1", [NewEvent("Placed", "secret")])
        (event,) = [one async for one in store.read(streams="order/")]
    assert event.metadata == {"traceparent": traceparent(request)}

    behind, before = spans.all("append order/")
    (sent,), (answered,) = (
        by_kind(spans, WRITE, kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    assert parent(before) == own(request)
    assert parent(sent) == own(before)
    assert parent(answered) == own(sent)
    assert parent(behind) == own(answered)
    assert sent.attributes == {
        "http.request.method": "POST",
        "server.address": HOST,
        "server.port": served.port,
        "http.response.status_code": 200,
    }
    # A read outside of any span is a request of its own, and its sender makes no trace of it.
    assert not by_kind(spans, READ, SpanKind.CLIENT)
    assert by_kind(spans, READ, SpanKind.SERVER)


@pytest.mark.anyio
async def test_one_request_for_several_appends_is_linked_to_all(
    served: Served, spans: Recorded
) -> None:
    async with EventStore.open(served.url) as store:

        async def append(number: int) -> None:
            with spans.tracer.start_as_current_span("request"):
                await store.append(f"order/{number}", [NewEvent("Placed", number)])

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(append, number)
    sent = by_kind(spans, WRITE, SpanKind.CLIENT)
    requests = {own(one) for one in spans.all("request")}
    appends = {own(one) for one in spans.all("append order/") if parent(one) in requests}
    assert len(appends) == 20
    assert {parent(one) for one in sent} | {at for one in sent for at in links(one)} == appends


@pytest.mark.anyio
async def test_a_request_with_the_header_is_part_of_its_trace(
    served: Served, spans: Recorded
) -> None:
    with spans.tracer.start_as_current_span("browser") as browser:
        header = {"traceparent": traceparent(browser)}
    token = served.url.partition("://")[2].partition("@")[0]
    base = f"http://{HOST}:{served.port}"
    body = {"events": [{"type": "Placed", "data": "secret"}, {"type": "Paid", "id": "paid-17"}]}
    async with httpx.AsyncClient(base_url=base, headers=header) as client:
        assert (await client.get("/healthz")).status_code == 200
        refused = await client.post("/v1/streams/order%2F1?key=secret", json=body)
        assert refused.status_code == 401
        client.headers["authorization"] = f"Bearer {token}"
        answer = await client.post("/v1/streams/order%2F1", json=body)
        assert answer.status_code == 201

    first, second = spans.all("POST /v1/streams/{stream}")
    assert {parent(first), parent(second)} == {own(browser)}
    assert (first.status.status_code, second.kind) == (StatusCode.UNSET, SpanKind.SERVER)
    assert second.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/streams/{stream}",
        "http.response.status_code": 201,
    }
    append = spans.one("append order/")
    assert parent(append) == own(second)
    async with EventStore.open(served.url) as store:
        placed, paid = [one async for one in store.read(streams="order/")]
    assert placed.metadata == {"traceparent": traceparent(second)}
    assert paid.metadata == {}, "an event with an id of its own may come again in another trace"
    assert not spans.all("GET /healthz")
    assert not any("secret" in str((one.name, one.attributes)) for one in spans.all())


USE = """
import sys, eventstore.sync, eventstore.outbox, eventstore.remote.connection, eventstore.server.app
from eventstore import NewEvent
from projections import ProjectionRunner
with eventstore.sync.EventStore.open("memory://") as store:
    store.append("a/1", [NewEvent("T", 1)])
    with store.subscribe_changes(consumer="w", follow=False) as changes:
        print(len(list(changes)), [name for name in sys.modules if "opentelemetry" in name])
"""


def test_nothing_of_opentelemetry_is_imported_by_a_program_that_does_not_use_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 []\n"
