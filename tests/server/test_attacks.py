"""Requests that an attacker tries: each is answered as a mistake of the client, and does nothing.

Each attack is the bytes of a request. ``TOKEN`` stands for a token with all scopes for the streams
``a/``, and ``REVOKED``, ``EXPIRED`` and ``STRANGE`` for one that was revoked, one whose time has
passed and one of another log.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import anyio
import pytest
from support.network import HOST
from support.waiting import eventually

from eventstore import EventStore, NewEvent
from eventstore.log.clock import from_microseconds
from eventstore.server import tokens
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import create_token, revoke_token
from eventstore.testing import FakeClock
from server.conftest import Server, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

PATH: Final = "/v1/streams/a%2F1"
EVENT: Final = b'{"events":[{"type":"X","data":1}]}'
REFUSED: Final = {400, 401, 403, 404, 405, 408, 409, 410, 411, 413, 415, 431, 501, 505}

HARMLESS: Final = {
    "a stream that steps out",  # A name is no path: that is a stream of the category a/.
    "another protocol",  # It is read as 1.1, and answered so.
}
"""Attacks that are answered as what they are, and learn nothing."""


def get(target: str, *headers: str, method: str = "GET", token: str = "TOKEN") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def post(body: bytes, *headers: str, target: str = PATH) -> bytes:
    kind = "" if any("content-type" in one.lower() for one in headers) else "application/json"
    given = [f"Content-Type: {kind}"] if kind else []
    length = [] if any("-encoding" in one for one in headers) else [f"Content-Length: {len(body)}"]
    return get(target, *given, *length, *headers, method="POST") + body


def nested(depth: int) -> bytes:
    return b'{"events":[{"type":"X","data":' + b"[" * depth + b"]" * depth + b"}]}"


ATTACKS: Final[dict[str, bytes]] = {
    # Who asks.
    "no token": get("/v1/log").replace(b"Authorization: Bearer TOKEN\r\n", b""),
    "an empty token": get("/v1/log", token=""),
    "a guessed token": get("/v1/log", token="A" * 43),
    "a token with a NUL": get("/v1/log", token="a\x00b"),
    "a token that is not ASCII": get("/v1/log", token="\xff\xfe"),
    "a token in the query": get("/v1/log?token=TOKEN", token="x"),
    "a token as a password": get("/v1/log").replace(b"Bearer TOKEN", b"Basic TOKEN"),
    "the hash of a token": get("/v1/log", token="HASH"),
    "two tokens": get("/v1/log", "Authorization: Bearer x", token="x"),
    "a revoked token": get("/v1/log", token="REVOKED"),
    "an expired token": get("/v1/log", token="EXPIRED"),
    "a token of another log": get("/v1/log", token="STRANGE"),
    "a long token": get("/v1/log", token="x" * 20_000),
    # What is not theirs.
    "all streams": get("/v1/events"),
    "another category": get("/v1/events?streams=b/"),
    "a prefix that is wider": get("/v1/events?streams=a"),
    "a stream that steps out": get("/v1/events?streams=a/../b/1"),
    "two categories": get("/v1/events?streams=a/&streams=b/"),
    "a category in another case": get("/v1/events?streams=A/"),
    "the log's own streams": post(EVENT, target="/v1/streams/audit%2Ftokens"),
    "the log's own category": post(EVENT, target="/v1/streams/log%2Fredactions"),
    "the rules of others": get("/v1/rules/R1"),
    "a state of others": get("/v1/rules/R1/state", method="PUT"),
    "all views": get("/v1/views"),
    "live events of all": get("/v1/events/live?streams=b/"),
    # Paths.
    "steps up": get("/v1/../../etc/passwd"),
    "encoded steps up": get("/v1/%2e%2e/%2e%2e/etc/passwd"),
    "steps in a stream": post(EVENT, target="/v1/streams/..%2F..%2Fetc"),
    "doubled slashes": get("//v1//log"),
    "a backslash": get("/v1\\log"),
    "an encoded slash in a route": get("/v1%2Flog"),
    "a NUL in a path": post(EVENT, target="/v1/streams/a%2F%00"),
    "wrong UTF-8 in a path": post(EVENT, target="/v1/streams/a%2F%ff"),
    "an overlong encoding": post(EVENT, target="/v1/streams/a%c0%af1"),
    "a lone surrogate": post(EVENT, target="/v1/streams/a%2F%ed%a0%80"),
    "an absolute target": get("http://other/v1/events"),
    "a very long path": get("/v1/" + "a" * 60_000),
    # Queries and headers.
    "a huge number": get(f"/v1/events?streams=a/&limit={'9' * 5_000}x"),
    "infinity": get("/v1/events?streams=a/&wait=inf"),
    "a number that is not ASCII": get("/v1/events?streams=a/&limit=%D9%A1"),
    "an unknown parameter": get("/v1/events?streams=a/&admin=1"),
    "a huge query": get("/v1/events?" + "x=1&" * 7_000),
    "a forged cursor": get("/v1/events?streams=a/&after=AAAA"),
    "a line break in a cursor": get("/v1/events/live?streams=a/&after=x%0d%0adata:%20y"),
    "a line break in a header": get("/v1/events/live?streams=a/", "Last-Event-ID: x\rdata: y"),
    "many headers": get("/v1/events", *[f"X-{n}: {'y' * 100}" for n in range(500)]),
    "a folded header": get("/v1/events", "X-A: b\r\n c"),
    "another method by a header": get(PATH, "X-HTTP-Method-Override: POST"),
    "another method by a query": get(f"{PATH}?_method=POST"),
    "TRACE": get("/v1/log", method="TRACE"),
    "CONNECT": get("other:443", method="CONNECT"),
    "a method that is none": get("/v1/log", method="G\x00T"),
    "another protocol": get("/v1/log").replace(b"HTTP/1.1", b"HTTP/9.9"),
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    # Bodies.
    "a form": post(EVENT, "Content-Type: application/x-www-form-urlencoded"),
    "plain text": post(EVENT, "Content-Type: text/plain"),
    "deep JSON": post(nested(100_000)),
    "JSON without an end": post(b'{"events":[{"type":"X","data":['),
    "an unknown field": post(b'{"events":[],"scopes":["admin"]}'),
    "wrong UTF-8": post(b'{"events":[{"type":"X","data":"\xff"}]}'),
    "a lone surrogate in JSON": post(b'{"events":[{"type":"\\ud800","data":1}]}'),
    "a NUL in a type": post(b'{"events":[{"type":"a\\u0000b","data":1}]}'),
    "a line break in a type": post(b'{"events":[{"type":"a\\r\\nid: 9","data":1}]}'),
    "NaN": post(b'{"events":[{"type":"X","data":NaN}]}'),
    "a number without an end": post(b'{"events":[{"type":"X","data":1e999999}]}'),
    "a version below none": post(b'{"events":[{"type":"X","data":1}],"expected":-9}'),
    "a version above all": post(EVENT[:-1] + b',"expected":' + b"9" * 400 + b"}"),
    "a large body": post(b" " * 70_000),
    "a gzip bomb": post(gzip.compress(b"0" * 10_000_000), "Content-Encoding: gzip"),
    # What one program reads otherwise than the next.
    "two lengths": post(EVENT, "Content-Length: 3"),
    "a length and chunks": post(
        EVENT, f"Content-Length: {len(EVENT)}", "Transfer-encoding: chunked"
    ),
    "a length below none": post(EVENT).replace(b"Content-Length: ", b"Content-Length: -"),
    "a chunk of no size": post(b"zz\r\nx\r\n0\r\n\r\n", "Transfer-encoding: chunked"),
    "an unknown encoding": post(EVENT, "Transfer-encoding: chunked, identity"),
    "a space before a colon": get("/v1/events", "X-A : b"),
    "a second host": get("/v1/events", "Host: y"),
}


class Target:
    """A server with tokens of every kind, and what the placeholders in attacks stand for."""

    def __init__(self, server: Server, words: dict[str, str]) -> None:
        self.server = server
        self.words = words

    def fill(self, attack: bytes) -> bytes:
        for word, value in self.words.items():
            attack = attack.replace(word.encode(), value.encode())
        return attack


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    clock = FakeClock()
    settings = ServerSettings(max_body=60_000, body_seconds=1.0)
    async with EventStore.open("memory://") as other:
        strange = await create_token(other, "all", ["admin"])
    async with EventStore.open("memory://", clock=clock) as store:
        soon = from_microseconds(clock.now_us) + timedelta(seconds=1)
        words = {
            "STRANGE": strange,
            "EXPIRED": await create_token(store, "late", ["admin"], expires_at=soon),
            "REVOKED": await create_token(store, "gone", ["admin"]),
            "TOKEN": await create_token(
                store, "own", ["read", "append", "ack", "state"], streams=["a/"]
            ),
        }
        await revoke_token(store, "gone")
        clock.now_us += 2_000_000
        book, _ = await tokens.read_tokens(store)
        words["HASH"] = book.named("own").sha256
        await store.append("b/1", [NewEvent("Secret", "HIDDEN")])
        async with served(store, settings=settings) as server:
            yield Target(server, words)


async def ask(server: Server, request: bytes) -> bytes:
    """Send a request; return all that is answered until the server closes."""
    found = b""
    port = int(server.url.rpartition(":")[2])
    async with await anyio.connect_tcp(HOST, port) as stream:
        try:
            await stream.send(request)
            while True:
                found += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return found


async def test_each_attack_is_refused_and_changes_nothing(
    target: Target, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(ATTACKS) >= 50
    caplog.set_level(logging.INFO)
    # As a program may have it.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "handlers", [caplog.handler])
    server = target.server
    head = (await server.store.head()).position
    for name, attack in ATTACKS.items():
        answer = await ask(server, target.fill(attack))
        # What is too large is cut, which may take the answer with it.
        cut = not answer and len(attack) > 30_000
        expected = {200} if name in HARMLESS else REFUSED
        assert cut or int(answer[9:12]) in expected, (name, answer[:300])
        assert b"HTTP/1.1" not in answer[9:], (name, "is answered twice")
        for word in (b"HIDDEN", b"Traceback", b'File "', *map(str.encode, target.words.values())):
            assert word not in answer, (name, word)
        assert (await server.store.head()).position == head, name
    assert await server.store.consumers() == []
    assert not any(secret in caplog.text for secret in target.words.values())
    assert "fault of the program" not in caplog.text
    assert "GET /v1/log 401" in caplog.text


async def test_the_same_requests_without_an_attack_are_answered(target: Target) -> None:
    """What is refused above is refused for what is wrong with it."""
    for request, status in (
        (get("/v1/log"), b"200"),
        (get("/v1/events?streams=a/"), b"200"),
        (post(EVENT), b"201"),
        (get("/v1/events?streams=a/1"), b"200"),
    ):
        answer = await ask(target.server, target.fill(request))
        assert answer[9:12] == status, answer


async def test_content_cannot_write_lines_of_a_live_stream(target: Target) -> None:
    hostile = "x\r\n\r\nid: forged\ndata: {}\u2028\u0085\n\n"
    await target.server.store.append("a/1", [NewEvent("X", hostile, metadata={"by": hostile})])
    secret = target.words["TOKEN"]
    async with (
        target.server.stranger(authorization=f"Bearer {secret}") as client,
        client.stream("GET", "/v1/events/live?streams=a/") as stream,
    ):
        raw = b""
        async for chunk in stream.aiter_raw():
            raw += chunk
            if raw.count(b"\n\n") == 2:
                break
    lines = raw.split(b"\n")
    assert [line[:6] for line in lines if line] == [b": conn", b"id: " + lines[2][4:6], b"data: "]
    assert json.loads(lines[3][6:])["data"] == hostile


async def test_tokens_are_found_by_their_hash_alone(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No comparison of a secret ends early: what is looked up is the hash of all that was sent."""
    asked: list[str] = []
    real = hashlib.sha256

    def noted(data: bytes) -> object:
        asked.append(data.decode())
        return real(data)

    monkeypatch.setattr("eventstore.server.tokens.sha256", noted)
    wrong = secrets.token_urlsafe(32)

    async def refused() -> bool:
        return b" 401 " in (await ask(target.server, get("/v1/log", token=wrong)))[:20]

    await eventually(refused)
    assert set(asked) == {wrong}
