"""nginx and Caddy in front of a server, as config/ sets them up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from support.edge import IN_A_ROW, PROXIES, Edge, client
from support.network import HOST
from support.waiting import eventually, until

from eventstore import NewEvent
from eventstore.server import _auth, _events
from eventstore.server.tokens import revoke_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.served import Served

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

LONG = "public, max-age=600"
"""For what is counted: a busy machine may take longer than answers are kept."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def append(served: Served, stream: str, *data: Any) -> None:
    await served.store.append(stream, [NewEvent("Placed", one) for one in data])


@pytest.fixture(params=PROXIES)
def edge(request: pytest.FixtureRequest, edges: dict[str, Edge]) -> Edge:
    return edges[request.param]


@pytest.fixture(params=["nginx", IN_A_ROW])
def caching(request: pytest.FixtureRequest, edges: dict[str, Edge]) -> Edge:
    """Give an edge that keeps pages and lets requests wait as one."""
    return edges[request.param]


@pytest.fixture
def nginx(edges: dict[str, Edge]) -> Edge:
    return edges["nginx"]


@pytest.fixture
def caddy(edges: dict[str, Edge]) -> Edge:
    return edges["caddy"]


@pytest.fixture
def asked(served: Served, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Count the requests that reach the server, by route."""
    counts: dict[str, int] = {}

    def answered(method: str, route: str, *_: Any) -> None:
        counts[route] = counts.get(route, 0) + 1

    monkeypatch.setattr(served.gateway.metrics, "answered", answered)
    return lambda route: counts.get(route, 0)


async def test_a_name_is_one_segment_through_the_proxy(edge: Edge, served: Served) -> None:
    async with client(edge, served, f"{edge.name} names", "admin") as asking:
        for name in ("a/b", "a%b", "a%2Fb", "x/history", "a b", "..", "ä"):
            encoded = "".join(f"%{byte:02X}" for byte in name.encode())
            body = {"events": [{"type": "Placed", "data": 1}], "expected": "any"}
            answer = await asking.post(f"/v1/streams/segment%2F{encoded}", json=body)
            assert answer.status_code == 201, answer.text
            read = {"streams": f"segment/{name}"}
            found = (await asking.get("/v1/events", params=read)).json()["events"]
            assert {event["stream"] for event in found} == {f"segment/{name}"}
            # Not the history of a rule, but the rule of that name, which is not there.
            unknown = await asking.get(f"/v1/rules/{encoded}")
            assert unknown.status_code == 404
            assert "rule" in unknown.json()["detail"]


async def test_metrics_are_not_handed_on(edge: Edge, served: Served) -> None:
    async with client(edge, served, f"{edge.name} metrics", "admin") as asking:
        for path in ("/metrics", "/%6Detrics", "//metrics", "/x/../metrics"):
            request = asking.build_request("GET", "/")
            request.url = request.url.copy_with(raw_path=path.encode())  # As it stands here.
            answer = await asking.send(request)
            assert answer.status_code == 404
            assert "eventstore_" not in answer.text
        assert (await asking.get("/readyz")).status_code == 200


async def test_events_come_through_at_once(edge: Edge, served: Served) -> None:
    async with (
        client(edge, served, f"{edge.name} live", "read") as asking,
        asking.stream("GET", "/v1/events/live?streams=live/&after=end") as live,
    ):
        assert live.headers["content-type"].startswith("text/event-stream")
        lines = live.aiter_lines()
        assert await anext(lines) == ": connected"
        for number in range(3):
            await anyio.to_thread.run_sync(served.run, append(served, "live/1", number))
            while not (line := await anext(lines)).startswith("data:"):
                pass
            assert line.endswith(f'"data":{number}}}')


async def test_a_page_is_asked_for_once(
    caching: Edge, served: Served, asked: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_auth._ALLOWED, "cache-control", LONG)
    async with client(caching, served, f"pages {caching.name}", "read", streams="order/") as asking:
        generation = (await asking.get("/v1/log")).json()["generation"]
        # Another URL for each edge: the cache is the same.
        own = f"streams=order/&exclude_types={caching.name}"
        page = f"/v1/pages/{generation}/1-1024?{own}"
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(asking.get, page)
        kept = await asking.get(page)
        assert (kept.headers["x-cache"], len(kept.json()["events"])) == ("HIT", 1_023)
        assert asked("/v1/pages/{generation}/{span}") == 1
        assert asked("/v1/auth") == 1
    # What one token has fetched, no other is given without a right of its own.
    async with client(
        caching, served, f"elsewhere {caching.name}", "read", streams="live/"
    ) as other:
        assert (await other.get(page)).status_code == 403
        for trick in ("STREAMS=live/", "%73treams=live/", "streams=live/", "streams="):
            for target in (f"{page}&{trick}", page.replace("?", f"?{trick}&")):
                answer = await other.get(target)
                assert answer.status_code in {400, 403}, target
    async with httpx.AsyncClient(base_url=caching.url, trust_env=False) as stranger:
        assert (await stranger.get(page)).status_code == 401
    secret = asking.headers["authorization"].split()[1]
    nginx = caching.behind or caching
    for file in (nginx.directory / "cache").rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()
    assert secret not in (nginx.directory / "requests.log").read_text()
    assert secret not in caching.said()


async def test_requests_that_wait_at_the_same_end_are_one_at_the_server(
    caching: Edge, served: Served, asked: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_events, "SHARED", {"cache-control": LONG})
    answers: list[list[Any]] = []
    async with client(
        caching, served, f"waiting {caching.name}", "read", streams="wait/"
    ) as asking:
        await anyio.to_thread.run_sync(served.run, append(served, "wait/1", "first"))
        start = (await asking.get("/v1/events", params={"streams": "wait/"})).json()["cursor"]
        before = asked("/v1/events")

        async def wait(after: str, wait: float = 60) -> None:
            given = {"after": after, "streams": "wait/", "wait": wait}
            answer = await asking.get("/v1/events", params=given)
            answers.append([one["data"] for one in answer.json()["events"]])
            words.add(answer.json()["cursor"])

        words: set[str] = set()
        async with anyio.create_task_group() as tasks:
            for _ in range(30):
                tasks.start_soon(wait, start)
            await until(lambda: served.gateway.followers)
            await anyio.to_thread.run_sync(served.run, append(served, "wait/1", 1, 2))
        assert (answers, len(words)) == ([[1, 2]] * 30, 1)
        # An answer without events is shared too, and leads on to a URL that no cache knows.
        (first,) = words
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(wait, first, 0.2)
        assert answers[30:] == [[]] * 10
        assert len(words) == 2
        assert asked("/v1/events") - before == 2
        (second,) = words - {first}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait, second)
            await until(lambda: served.gateway.followers)
            await anyio.to_thread.run_sync(served.run, append(served, "wait/1", 3))
        assert answers[-1] == [3]


async def test_a_revoked_token_reads_the_cache_for_30_s_at_the_most(
    caching: Edge, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time that the server gives is what nginx keeps to."""
    monkeypatch.setitem(_auth._ALLOWED, "cache-control", "max-age=1")
    name = f"short {caching.name}"
    async with client(caching, served, name, "read", streams="order/") as asking:
        generation = (await asking.get("/v1/log")).json()["generation"]
        page = f"/v1/pages/{generation}/1-1024?streams=order/"
        assert (await asking.get(page)).status_code == 200
        await anyio.to_thread.run_sync(served.run, revoke_token(served.store, name))

        async def refused() -> bool:
            return bool((await asking.get(page)).status_code == 401)

        await eventually(refused)


async def test_a_request_that_does_not_end_does_not_reach_the_server(
    nginx: Edge, served: Served, asked: Callable[..., int]
) -> None:
    """A slow client is the proxy's: its body is handed on once it is complete."""
    with socket.create_connection((HOST, nginx.port), 10) as slow:
        slow.sendall(b"POST /v1/streams/slow%2F1 HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n")
        slow.sendall(b"Authorization: Bearer x\r\nContent-Type: application/json\r\n\r\n{")
        async with client(nginx, served, "beside", "read") as asking:
            assert (await asking.get("/v1/log")).status_code == 200
        assert (asked("/v1/log"), asked("/v1/streams/{stream}")) == (1, 0)


async def test_caddy_asks_what_a_token_grants_before_a_page_and_a_wait(
    caddy: Edge, served: Served, asked: Callable[..., int]
) -> None:
    async with client(caddy, served, "asked", "read", streams="order/") as asking:
        generation = (await asking.get("/v1/log")).json()["generation"]
        page = f"/v1/pages/{generation}/1-1024"
        assert asked("/v1/auth") == 0
        for count, path in enumerate((page, "/v1/events"), 1):
            assert (await asking.get(f"{path}?streams=order/")).status_code == 200
            assert asked("/v1/auth") == count
        before = asked("/v1/pages/{generation}/{span}")
        for refused in ("", "?streams=live/", "?streams=order/&streams=live/"):
            for spoofed in ("x-forwarded-uri", "x-original-uri"):
                # What a client says of itself is not what the server is asked.
                own = {spoofed: f"{page}?streams=order/"}
                assert (await asking.get(page + refused, headers=own)).status_code == 403
        assert asked("/v1/pages/{generation}/{span}") == before
        await anyio.to_thread.run_sync(served.run, revoke_token(served.store, "asked"))

        async def refused_now() -> bool:
            return bool((await asking.get(f"{page}?streams=order/")).status_code == 401)

        await eventually(refused_now)
