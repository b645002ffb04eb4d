"""Random requests to every route that the description names: no answer is a fault of the server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.rule_events import definition_data

from eventstore import NewEvent

if TYPE_CHECKING:
    from server.conftest import Server

pytestmark = pytest.mark.anyio

QUICK: Final = ["0", "0.01", "-1", "x", "", "1e9", "٣"]
"""Values of the parameters that say how long to wait."""

LEAST: Final = 60
"""Requests of a run: among so many there are always some that are answered and some refused."""

WORDS: Final = [
    "", "R1", "a/1", "a/", "w", "1", "0", "-1", "1-1024", "start", "end", "..", "%", "%2F", "\x00",
    "\r\nx: y", "9" * 30, "no-stream", "audit/tokens", "log/", "é\u2028", "' OR 1=1 --",
]  # fmt: skip

TEXT: Final = st.sampled_from(WORDS) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=20
)
JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def body_of(schema: dict[str, Any] | None, draw: Any, document: dict[str, Any]) -> bytes | None:
    """Draw a body: none, bytes, or an object whose keys are those of the schema."""
    if schema is None:
        return None
    if not draw(st.integers(0, 4)):
        return bytes(draw(st.binary(max_size=30)))
    name = schema["$ref"].rpartition("/")[2]
    keys = document["components"]["schemas"][name]["properties"]
    event = st.fixed_dictionaries({"type": TEXT}, optional={"data": JSON, "id": TEXT})
    value = {
        "events": st.lists(event, max_size=2),
        "cursor": TEXT,
        "epoch": st.integers(),
        "state": st.sampled_from(["enabled", "disabled", "clipped", "x"]),
    }
    known = {key: value.get(key, JSON) | JSON for key in keys}
    return json.dumps(draw(st.fixed_dictionaries({}, optional=known))).encode()


@st.composite
def requests(draw: Any, document: dict[str, Any]) -> httpx.Request:
    path = draw(st.sampled_from(sorted(document["paths"])))
    method = draw(st.sampled_from(sorted(document["paths"][path])))
    operation = document["paths"][path][method]
    query: list[tuple[str, str]] = []
    for parameter in operation["parameters"]:
        name = parameter["name"]
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", quote(draw(TEXT), safe=""))
        elif name == "timeout":  # Without it a request may wait for 30 s.
            query.append((name, draw(st.sampled_from(QUICK))))
        elif draw(st.booleans()):
            values = st.sampled_from(QUICK) if name == "wait" else TEXT
            query += [(name, one) for one in draw(st.lists(values, max_size=2))]
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = body_of(schema.get("schema"), draw, document)
    headers = {"content-type": "application/json"} if body is not None else {}
    for name in ("if-none-match", "last-event-id", "x-original-uri"):
        if not draw(st.integers(0, 5)):
            headers[name] = quote(draw(TEXT))
    url = httpx.URL("http://x", raw_path=(path or "/").encode())
    if query:
        url = url.copy_with(params=query)
    return httpx.Request(method.upper(), url, headers=headers, content=body)


def draw_requests(document: dict[str, Any], number: int) -> list[httpx.Request]:
    """Draw requests before any is sent: the server uses the random numbers that are seeded here."""
    drawn: list[httpx.Request] = []

    @settings(max_examples=max(LEAST, examples(number)), deadline=None, database=None)
    @given(requests(document))
    def note(request: httpx.Request) -> None:
        drawn.append(request)

    note()
    return drawn


async def check(client: httpx.AsyncClient, request: httpx.Request, secret: str) -> int:
    """Send a request, check its answer, and return its status."""
    headers = {**request.headers, "host": "x", "authorization": f"Bearer {secret}"}
    sent = client.build_request(request.method, "/", headers=headers, content=request.content)
    sent.url = client.base_url.copy_with(raw_path=request.url.raw_path)
    answer = await client.send(sent, stream=True)
    try:
        said = (request.method, request.url.raw_path, request.content)
        assert answer.status_code < 500 or answer.status_code in {501, 504}, said
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            text = await answer.aread()
            assert secret.encode() not in text, said
            assert b"Traceback" not in text, said
            assert answer.status_code < 400 or json.loads(text)["status"] == answer.status_code
    finally:
        await answer.aclose()
    return answer.status_code


@pytest.mark.parametrize("number", [60, pytest.param(600, marks=pytest.mark.slow)])
async def test_no_request_meets_a_fault_of_the_server(
    server: Server, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    await server.store.append("a/1", [NewEvent("Happened", 1)])
    data = definition_data("R1", "r1.yml")
    await server.store.append("rule/R1", [NewEvent("RuleDefined", data)])
    async with await server.client("admin", name="fuzz") as client:
        secret = client.headers["authorization"].removeprefix("Bearer ")
        document = (await client.get("/v1/openapi.json")).json()
        seen = [await check(client, one, secret) for one in draw_requests(document, number)]
    assert {200, 400} <= set(seen)
    assert "fault of the program" not in caplog.text


async def test_the_description_names_every_route_and_what_it_needs(server: Server) -> None:
    async with server.stranger() as client:
        document = (await client.get("/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    paths = document["paths"]
    assert {"/v1/events", "/v1/streams/{stream}", "/v1/rules/{id}/state", "/v1/views"} <= set(paths)
    append = paths["/v1/streams/{stream}"]["post"]
    assert append["security"] == [{"token": ["append"]}]
    schema = append["requestBody"]["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]
    assert set(document["components"]["schemas"][name]["properties"]) == {"events", "expected"}
    assert paths["/healthz"]["get"]["security"] == []
    names = [one["name"] for one in paths["/v1/events"]["get"]["parameters"]]
    assert {"after", "streams", "types", "wait"} <= set(names)
    for methods in paths.values():
        assert all(operation["summary"] for operation in methods.values())
