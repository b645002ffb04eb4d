"""What an attacker asks through a proxy: nothing is smuggled, and no cache is poisoned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import httpx
import pytest
from support.attack_answers import answers
from support.edge import IN_A_ROW, Edge, client
from support.network import HOST

if TYPE_CHECKING:
    from support.served import Served

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

METRICS: Final = f"GET /metrics HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer TOKEN\r\n\r\n"


def raw(*headers: str, line: str = "GET /v1/log HTTP/1.1", body: str = "") -> str:
    lines = [
        line,
        f"Host: {HOST}",
        "Authorization: Bearer TOKEN",
        *headers,
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines) + body


POST: Final = "POST /v1/streams/order%2F1 HTTP/1.1"
PAGE: Final = "GET /v1/pages/GENERATION/1-1024"

ATTACKS: Final = {
    "a length and chunks": raw(
        "Content-Length: 200", "Transfer-Encoding: chunked", line=POST, body=f"0\r\n\r\n{METRICS}"
    ),
    "two lengths": raw("Content-Length: 3", "Content-Length: 0", line=POST, body="abc"),
    "a length with a sign": raw("Content-Length: +3", line=POST, body="abc"),
    "an encoding of another name": raw(
        "Transfer-Encoding: xchunked", line=POST, body=f"0\r\n\r\n{METRICS}"
    ),
    "an encoding with a space": raw(
        "Transfer-Encoding : chunked", line=POST, body=f"0\r\n\r\n{METRICS}"
    ),
    "a chunk of no size": raw("Transfer-Encoding: chunked", line=POST, body="zz\r\nx\r\n0\r\n\r\n"),
    "a request in the body of another": raw(f"Content-Length: {len(METRICS)}", body=METRICS),
    "another protocol within": raw(
        "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"
    ),
    "a tunnel": raw(line="CONNECT gateway:8080 HTTP/1.1"),
    "a NUL in a header": raw("X-A: b\0c"),
    "a page of others, by another spelling": raw(
        line="GET /v1/%70ages/GENERATION/1-1024?streams=secret/ HTTP/1.1"
    ),
    "a page of others, with a question of one's own": raw(
        "X-Original-URI: /v1/pages/1/1-2?streams=order/",
        "X-Forwarded-Uri: /v1/pages/1/1-2?streams=order/",
        line=f"{PAGE}?streams=secret/ HTTP/1.1",
    ),
    "a page of others, with their own in the body": raw(
        "Content-Length: 14", line=f"{PAGE}?streams=secret/ HTTP/1.1", body="streams=order/"
    ),
    "a page without a question": raw("Connection: X-Original-URI", line=f"{PAGE} HTTP/1.1"),
    "metrics as this host": raw("X-Forwarded-For: 127.0.0.1", line="GET /metrics HTTP/1.1"),
}

POISONS: Final[dict[str, dict[str, str]]] = {
    "another host": {"host": "evil.example"},
    "another host, forwarded": {"x-forwarded-host": "evil.example"},
    "another path": {"x-original-url": "/v1/log", "x-rewrite-url": "/v1/log"},
    "another method": {"x-http-method-override": "DELETE"},
    "another origin": {"origin": "https://evil.example"},
    "a part of it": {"range": "bytes=0-9"},
    "what is there already": {"if-none-match": "*"},
    "another encoding": {"accept-encoding": "gzip", "te": "trailers"},
    "a cookie": {"cookie": "eventstore_session=x"},
}
"""Headers that are not in the key of what is kept."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def sent(edge: Edge, request: str) -> bytes:
    """Return all that is answered until the connection ends."""
    found = b""
    async with await anyio.connect_tcp(HOST, edge.port) as stream:
        try:
            await stream.send(request.encode("latin-1"))
            while True:
                found += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return found


async def test_nothing_is_smuggled_through_a_proxy(edges: dict[str, Edge], served: Served) -> None:
    head = (served.run(served.store.head())).position
    expected = answers("through a proxy")
    assert sorted(expected) == sorted(ATTACKS)
    for column, name in enumerate(("nginx", "caddy")):
        edge = edges[name]
        async with client(edge, served, f"raw {name}", "read", streams="order/") as asking:
            secret = asking.headers["authorization"].split()[1]
            generation = (await asking.get("/v1/log")).json()["generation"]
            for attack, request in ATTACKS.items():
                filled = request.replace("TOKEN", secret).replace("GENERATION", str(generation))
                answer = await sent(edge, filled)
                status = answer[9:12].decode() or "end"
                assert status in expected[attack][column], (name, attack, answer[:300])
                assert b"HTTP/1.1" not in answer[9:], (name, attack, "is answered twice")
                assert b"eventstore_" not in answer, (name, attack)
                # What comes next on the proxy's connections is answered as what it is.
                assert (await asking.get("/v1/log")).json()["generation"] == generation
    assert served.run(served.store.head()).position == head + 2  # The tokens.


@pytest.mark.parametrize("name", ["nginx", IN_A_ROW])
async def test_no_request_poisons_what_a_cache_keeps_for_others(
    name: str, edges: dict[str, Edge], served: Served
) -> None:
    edge = edges[name]
    async with (
        client(edge, served, f"poison {name}", "read", streams="order/") as hostile,
        client(edge, served, f"victim {name}", "read", streams="order/") as victim,
        client(edge, served, f"other {name}", "read", streams="live/") as other,
        httpx.AsyncClient(base_url=edge.url, trust_env=False) as stranger,
    ):
        generation = (await victim.get("/v1/log")).json()["generation"]
        whole = f"/v1/pages/{generation}/1-1024?streams=order/"
        real = (await victim.get(whole)).json()
        for number, (attack, headers) in enumerate(POISONS.items()):
            if "host" in headers and name == IN_A_ROW:
                continue  # Caddy answers for its own name alone.
            page = f"{whole}&exclude_types=poison{number}-{edge.name}"  # Not kept yet.
            await stranger.get(page, headers=headers)
            assert (await other.get(page, headers=headers)).status_code == 403, attack
            await hostile.head(page, headers=headers)
            await hostile.get(page, headers=headers)
            found = await victim.get(page)
            assert (found.status_code, found.headers["x-cache"]) == (200, "HIT"), attack
            assert found.json() == real, attack
            assert "evil.example" not in str(found.headers), attack
            assert (await stranger.get(page)).status_code == 401, attack
