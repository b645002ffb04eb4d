"""What the routes answer: pages, live events, appends, consumers; and what they refuse."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import pytest
from support.logs import some
from support.waiting import until

from eventstore import EventStore, NewEvent
from eventstore.server import _broadcasts, _live
from eventstore.server.settings import ServerSettings
from server.conftest import Server, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

pytestmark = pytest.mark.anyio


async def pages(client: httpx.AsyncClient, **parameters: Any) -> list[Any]:
    """Read page after page to the head; return the events' data."""
    found: list[Any] = []
    after = "start"
    while True:
        answer = await client.get("/v1/events", params={"after": after, **parameters})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [event["data"] for event in page["events"]]
        after = page["cursor"]
        if page["caught_up"]:
            return found


async def test_pages_have_every_event_once_and_in_order(server: Server) -> None:
    for number in range(7):
        await server.store.append(f"a/{number}", [NewEvent("Happened", number)])
    await server.store.append("b/1", [NewEvent("Other", "b")])
    async with await server.client("read") as client:
        assert await pages(client, limit=2, streams="a/") == list(range(7))
        assert await pages(client, types=["Other", "Unknown"]) == ["b"]
        only = await pages(client, exclude_streams=["a/", "audit/"])
        assert only == ["b"]


async def test_content_travels_exactly(server: Server) -> None:
    values: list[Any] = [{"n": 12345678901234567890, "f": 0.1, "é": None}, "text", [1, 2.50]]
    for value in values:
        await server.store.append("a/1", [NewEvent("Happened", value, metadata={"by": "x"})])
    await server.store.append("a/1", [NewEvent("Happened", b"\x00\xff")])
    await server.store.redact(1, reason="asked for")
    async with await server.client("read") as client:
        answer = await client.get("/v1/events", params={"streams": "a/1"})
        log = (await client.get("/v1/log")).json()
    events = answer.json()["events"]
    assert [event.get("data") for event in events[1:3]] == values[1:]
    assert base64.b64decode(events[3]["data_base64"]) == b"\x00\xff"
    assert (events[0]["redacted"], "data" in events[0]) == (True, False)
    assert events[1]["metadata"] == {"by": "x"}
    assert b'"data":[1,2.5]' in answer.content
    head = await server.store.head()
    assert (log["log_id"], log["position"]) == (head.log_id, head.position)


async def test_a_request_waits_for_the_next_event_and_no_longer(server: Server) -> None:
    async with await server.client("read") as client:
        parameters: dict[str, Any] = {"after": "end", "wait": 0.01, "streams": "a/"}
        assert (await client.get("/v1/events", params=parameters)).json()["events"] == []
        answers: list[Any] = []

        async def wait() -> None:
            answers.append(await client.get("/v1/events", params={**parameters, "wait": 60}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            gateway = server.gateway
            await until(lambda: gateway.followers)
            await server.store.append("b/1", some(1))
            await server.store.append("a/1", [NewEvent("Happened", "now")])
        (answer,) = answers
        assert [event["data"] for event in answer.json()["events"]] == ["now"]


async def test_a_cursor_of_another_history_is_a_conflict_and_a_forged_one_an_error(
    server: Server,
) -> None:
    await server.store.append("a/1", some(2))
    async with EventStore.open("memory://") as other, served(other) as elsewhere:
        await other.append("a/1", some(9))
        async with await elsewhere.client("read") as client:
            strange = (await client.get("/v1/log")).json()["cursor"]
    async with await server.client("read", "ack") as client:
        raw = base64.urlsafe_b64decode((own := await cursor_of(client)) + "==").decode()
        log_id, position, _ = raw.split(":")
        changed = encode(f"{log_id}:{position}:{'00' * 32}")
        ahead = encode(f"{log_id}:{int(position) + 99}:{'00' * 32}")
        for cursor in (strange, changed, ahead):
            answer = await client.get("/v1/events", params={"after": cursor})
            assert (answer.status_code, answer.json()["title"]) == (409, "HistoryDivergedError")
            live = await client.get("/v1/events/live", headers={"last-event-id": cursor})
            assert live.status_code == 409
            opened = await client.put("/v1/consumers/w", json={})
            body = {"cursor": cursor, "epoch": opened.json()["epoch"]}
            assert (await client.post("/v1/consumers/w/ack", json=body)).status_code == 409
        for cursor in ("x", "=", "é", "../..", own + "A", encode("a:b:c"), encode("\x00:1:zz")):
            answer = await client.get("/v1/events", params={"after": cursor})
            assert (answer.status_code, answer.json()["title"]) == (400, "InvalidInputError")


async def cursor_of(client: httpx.AsyncClient) -> str:
    return str((await client.get("/v1/log")).json()["cursor"])


def encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_trimmed_events_are_gone_and_not_passed_over(server: Server, tmp_path: Any) -> None:
    async with await server.client("read") as client:
        before = await cursor_of(client)
        for _ in range(3):
            await server.store.append("a/1", some(1))
        await server.store.trim(4, archive=tmp_path / "archive")
        answer = await client.get("/v1/events", params={"after": before})
        assert (answer.status_code, answer.json()["title"]) == (410, "HistoryGoneError")
        assert answer.json()["fields"]["first_position"] == 4


async def read_live(stream: httpx.Response, count: int) -> tuple[str, list[Any]]:
    """Read so many events of a stream; return the last id, and their data."""
    last, found = "", list[Any]()
    async for line in stream.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            last = value
        elif name == "data":
            found.append(json.loads(value)["data"])
            if len(found) == count:
                break
    return last, found


async def test_a_live_stream_goes_on_where_it_broke_off(server: Server) -> None:
    async with await server.client("read") as client:
        for number in range(3):
            await server.store.append("a/1", [NewEvent("Happened", number)])
        path = "/v1/events/live?streams=a/"
        async with client.stream("GET", path) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            last, found = await read_live(stream, 2)
        assert found == [0, 1]
        async with client.stream("GET", path, headers={"last-event-id": last}) as stream:
            await server.store.append("a/1", [NewEvent("Happened", "more\n\ndata: x")])
            assert (await read_live(stream, 2))[1] == [2, "more\n\ndata: x"]
        await until(lambda: not server.gateway.followers)


async def test_a_quiet_stream_says_that_it_is_alive_and_ends_at_its_age(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_broadcasts, "HEARTBEAT", 0.01)
    async with await server.client("read") as client:
        for age in (0.1, 1, 10):  # On a busy machine a stream may be old before it says anything.
            monkeypatch.setattr(_live, "MAX_AGE", age)
            answer = await client.get("/v1/events/live", params={"after": "end"})
            if "alive" in answer.text:
                break
    assert answer.text.startswith(": connected\n\n: alive\n\n")


async def test_an_append_is_safe_to_repeat_and_checked_against_the_version(
    server: Server,
) -> None:
    body = {
        "events": [
            {"type": "Placed", "data": {"total": 12}, "id": "one", "metadata": {"by": "me"}},
            {"type": "Blob", "data_base64": "AA==", "id": "two"},
        ],
        "expected": "no-stream",
    }
    async with await server.client("append") as client:
        first = await client.post("/v1/streams/order%2F17", json=body)
        again = await client.post("/v1/streams/order%2F17", json=body)
        late = {"events": [{"type": "Placed", "data": 1}], "expected": 1}
        conflict = await client.post("/v1/streams/order%2F17", json=late)
        other = {"events": [{"type": "Placed", "data": 99, "id": "one"}]}
        duplicate = await client.post("/v1/streams/order%2F17", json=other)
    assert (first.status_code, again.status_code) == (201, 200)
    assert (first.json()["version"], again.json()["duplicate"]) == (2, True)
    assert first.json()["cursor"] == again.json()["cursor"]
    assert (conflict.status_code, conflict.json()["title"]) == (409, "ConflictError")
    assert conflict.json()["fields"] == {"stream": "order/17", "expected": 1, "actual": 2}
    assert (duplicate.status_code, duplicate.json()["title"]) == (409, "DuplicateEventError")
    stored = [event async for event in server.store.read_stream("order/17")]
    assert [(event.id, event.data) for event in stored] == [("one", {"total": 12}), ("two", b"\0")]


@pytest.mark.parametrize(
    "stream", ["a/b/c", "a/100%", "a/x%2Fy", "a/history", "a/é ü", "a/..", "a/?q#f", "a/b/ack"]
)
async def test_a_stream_s_name_is_one_segment_of_the_path(server: Server, stream: str) -> None:
    body = {"events": [{"type": "Happened", "data": 1}]}
    async with await server.client("append", "read", "ack") as client:
        answer = await client.post(f"/v1/streams/{quote(stream, safe='')}", json=body)
        assert answer.status_code == 201
        name = quote(stream, safe="")
        opened = await client.put(f"/v1/consumers/{name}", json={"after": "end"})
        assert opened.json()["name"] == stream
        assert (await client.get(f"/v1/consumers/{name}")).status_code == 200
    assert [event.stream async for event in server.store.read(streams=stream)] == [stream]


@pytest.mark.parametrize(
    ("stream", "said"),
    [("audit/tokens", "eventstore tokens"), ("log/x", "the log itself"), ("a", "category")],
)
async def test_streams_that_are_the_log_s_own_are_not_written(
    server: Server, stream: str, said: str
) -> None:
    async with await server.client("admin") as client:
        path = f"/v1/streams/{quote(stream, safe='')}"
        answer = await client.post(path, json={"events": [{"type": "X", "data": 1}]})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


async def test_a_consumer_has_one_owner_and_a_durable_checkpoint(server: Server) -> None:
    await server.store.append("a/1", some(3))
    async with await server.client("read", "ack", name="worker") as client:
        first = (await client.put("/v1/consumers/w", json={})).json()
        assert (first["position"], first["owner"].split()[0]) == (0, "worker")
        page = (await client.get("/v1/events", params={"limit": 2})).json()
        ack = {"cursor": page["cursor"], "epoch": first["epoch"]}
        assert (await client.post("/v1/consumers/w/ack", json=ack)).status_code == 204
        waited = await client.get("/v1/consumers/w/wait", params={"position": 2})
        assert (waited.status_code, waited.json()["position"]) == (200, 2)
        second = (await client.put("/v1/consumers/w", json={})).json()
        assert (second["position"], second["cursor"]) == (2, page["cursor"])
        taken = await client.post("/v1/consumers/w/ack", json=ack)
        assert (taken.status_code, taken.json()["title"]) == (409, "TakenOverError")
        late = await client.get("/v1/consumers/w/wait", params={"position": 3, "timeout": 0.01})
        assert (late.status_code, late.json()["title"]) == (504, "NotAppliedError")
        assert (await client.delete("/v1/consumers/w")).status_code == 204
        gone = await client.get("/v1/consumers/w")
        assert (gone.status_code, gone.json()["title"]) == (404, "UnknownConsumerError")


@pytest.fixture
async def small_bodies() -> AsyncIterator[Server]:
    settings = ServerSettings(max_body=10_000)
    async with EventStore.open("memory://") as store, served(store, settings=settings) as server:
        yield server


async def test_requests_that_make_no_sense_are_refused_and_change_nothing(
    small_bodies: Server,
) -> None:
    server = small_bodies
    path = "/v1/streams/a%2F1"
    good = b'{"events":[{"type":"X","data":1}]}'
    headers = {"content-type": "application/json"}
    async with await server.client("admin") as client:
        for content, kind, status in (
            (good, "text/plain", 415),
            (good, "application/x-www-form-urlencoded", 415),
            (good, "", 415),
            (b"", "application/json", 400),
            (b"{", "application/json", 400),
            (b"[" * 5_000, "application/json", 400),
            (b'{"events":[]}', "application/json", 400),
            (b'{"events":[{"type":"X","data":1}],"force":true}', "application/json", 400),
            (b'{"events":[{"type":"","data":1}]}', "application/json", 400),
            (b'{"events":[{"type":"X","data_base64":"*"}]}', "application/json", 400),
            (b'{"events":[{"type":"X","data":1}],"expected":-1}', "application/json", 400),
            (b'"' + b"x" * 10_001 + b'"', "application/json", 413),
        ):
            answer = await client.post(path, content=content, headers={"content-type": kind})
            assert answer.status_code == status, (content[:60], answer.text)
            assert answer.json()["status"] == status
        for query in ("limit=x", "limit=-1", "wait=1e9", "order=asc", "streams=%00", "after=%ff"):
            assert (await client.get(f"/v1/events?{query}")).status_code == 400, query
        answer = await client.post("/v1/streams/%ff%2F1", content=good, headers=headers)
        assert answer.status_code == 400
        for method, url, status in (
            ("GET", "/nothing", 404),
            ("GET", "/v1/../etc/passwd", 404),
            ("GET", "/v1/events/", 404),
            ("GET", path, 405),
            ("TRACE", "/v1/log", 405),
            ("GET", "/v1/consumers/a/b", 404),
        ):
            answer = await client.request(method, url)
            assert answer.status_code == status, url
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-content-type-options"] == "nosniff"
    assert [event async for event in server.store.read(streams="a/")] == []


async def test_a_stream_whose_history_ends_says_so(server: Server, tmp_path: Any) -> None:
    for _ in range(3):
        await server.store.append("a/1", some(1))
    async with await server.client("read") as client:
        after = (await client.get("/v1/events", params={"limit": 1})).json()["cursor"]

        async def trim_first(cursor: Any) -> Any:
            await server.store.trim(3, archive=tmp_path / "archive")
            return cursor

        server.gateway.check_history = trim_first  # type: ignore[method-assign]
        answer = await client.get("/v1/events/live", params={"after": after})
    problem = json.loads(answer.text.partition("event: problem\ndata: ")[2])
    assert (answer.status_code, problem["title"]) == (200, "HistoryGoneError")


async def test_health_needs_no_token(server: Server) -> None:
    async with server.stranger() as client:
        for path in ("/healthz", "/readyz"):
            assert (await client.get(path)).status_code == 200


async def test_a_fault_of_the_program_shows_nothing_of_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("SECRET detail")

    monkeypatch.setattr("eventstore.server._events.encode_cursor", broken)
    async with await server.client("read", name="x") as client:
        answer = await client.get("/v1/log")
    assert (answer.status_code, "SECRET" in answer.text) == (500, False)
    assert "SECRET detail" in caplog.text
