"""What an attacker asks of a server is answered as a mistake, tells nothing and does nothing."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import pytest
from msgspec.structs import replace
from support.attack_answers import answers
from support.network import HOST
from support.waiting import eventually

from eventstore import EventStore, NewEvent
from eventstore.log.clock import from_microseconds
from eventstore.server import tokens
from eventstore.server._cursors import encode_cursor
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import create_token, revoke_token
from eventstore.testing import FakeClock
from server.attack_requests import ATTACKS, EVENT, get, post
from server.conftest import Server, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore import Cursor

pytestmark = pytest.mark.anyio


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
            "READER": await create_token(store, "reader", ["read"], streams=["a/"]),
            "TOKEN": await create_token(
                store, "own", ["read", "append", "ack", "state"], streams=["a/"]
            ),
        }
        await revoke_token(store, "gone")
        clock.now_us += 2_000_000
        book, _ = await tokens.read_tokens(store)
        words["HASH"] = book.named("own").sha256
        await store.append("b/1", [NewEvent("Secret", "HIDDEN")])
        words |= forged_cursors((await store.head()).cursor)
        async with served(store, settings=settings) as server:
            yield Target(server, words)


def forged_cursors(real: Cursor) -> dict[str, str]:
    return {
        "ELSEWHERE": encode_cursor(replace(real, log_id="0" * len(real.log_id))),
        "AHEAD": encode_cursor(replace(real, position=real.position + 1_000)),
        "ALTERED": encode_cursor(replace(real, hash=bytes(len(real.hash)))),
    }


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
    expected = {name: said for name, (said,) in answers("at the server").items()}
    assert sorted(expected) == sorted(ATTACKS)
    for name, attack in ATTACKS.items():
        answer = await ask(server, target.fill(attack))
        # What is too large is cut, which may take the answer with it.
        status = answer[9:12].decode() or "end"
        assert status in expected[name], (name, answer[:300])
        assert b"HTTP/1.1" not in answer[9:], (name, "is answered twice")
        for word in (b"HIDDEN", b"Traceback", b'File "', *map(str.encode, target.words.values())):
            assert word not in answer, (name, word)
        assert (await server.store.head()).position == head, name
    assert await server.store.consumers() == []
    assert not any(secret in caplog.text for secret in target.words.values())
    assert "fault of the program" not in caplog.text
    assert "forged" not in caplog.text
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
