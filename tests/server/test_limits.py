"""Clients that are slow, or too many: each is answered or cut, and none holds the server."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from support.network import HOST
from support.waiting import until

from eventstore import EventStore, NewEvent
from eventstore.server import _connection
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import create_token
from server.conftest import Server, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import SocketStream
    from httpx import AsyncClient

pytestmark = pytest.mark.anyio

LONG = 3_600.0


@asynccontextmanager
async def limited(**settings: float) -> AsyncIterator[tuple[Server, str]]:
    """Serve with these limits, others of time none; return the secret of a token of all scopes."""
    given = {"header_seconds": LONG, "body_seconds": LONG, "write_seconds": LONG, **settings}
    async with EventStore.open("memory://") as store:
        secret = await create_token(store, "all", ["admin"])
        async with served(store, settings=ServerSettings(**given)) as server:  # type: ignore[arg-type]
            yield server, secret


@asynccontextmanager
async def client_of(**settings: float) -> AsyncIterator[tuple[Server, AsyncClient]]:
    """Serve with these limits; give a client with a token of all scopes."""
    async with (
        limited(**settings) as (server, secret),
        server.stranger(authorization=f"Bearer {secret}") as client,
    ):
        yield server, client


@asynccontextmanager
async def live(client: AsyncClient) -> AsyncIterator[None]:
    """Have a live stream of events open."""
    async with client.stream("GET", "/v1/events/live") as stream:
        assert stream.status_code == 200
        yield


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[SocketStream]:
    async with await anyio.connect_tcp(HOST, int(server.url.rpartition(":")[2])) as stream:
        yield stream


async def rest(stream: SocketStream) -> bytes:
    """Return what comes until the server closes."""
    found = b""
    while True:
        try:
            found += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return found


def posted(secret: str) -> bytes:
    """Return an append whose body has only begun."""
    return (
        b"POST /v1/streams/a%2F1 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer " + secret.encode() + b"\r\ncontent-length: 99\r\n\r\n{"
    )


@pytest.mark.parametrize("begun", [b"", b"GET /v1/log HTT", b"GET / HTTP/1.1\r\nhost: x\r\n"])
async def test_a_request_whose_headers_do_not_come_is_ended(begun: bytes) -> None:
    async with limited(header_seconds=0.05) as (server, _), connected(server) as stream:
        with contextlib.suppress(anyio.BrokenResourceError):
            if begun:
                await stream.send(begun)
        answer = await rest(stream)
    # Where it comes after the end, the kernel may throw the answer away.
    assert answer.startswith(b"HTTP/1.1 408 ") or (begun and not answer)


async def test_headers_that_come_byte_by_byte_gain_no_time() -> None:
    async def send_on(stream: SocketStream) -> None:
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.01)

    async with limited(header_seconds=0.2) as (server, _), connected(server) as stream:
        await stream.send(b"GET /healthz HTTP/1.1\r\n")
        with pytest.raises(anyio.BrokenResourceError):
            await send_on(stream)


async def test_a_second_request_has_its_time_too() -> None:
    whole = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    for seconds in (0.2, 2, 20, 200):  # The first requests come too late on a busy machine.
        async with limited(header_seconds=seconds) as (server, _), connected(server) as stream:
            await stream.send(whole + whole + b"GET /heal")
            answers = await rest(stream)
        if answers.count(b"HTTP/1.1 200 ") == 2:
            break
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert answers.count(b"HTTP/1.1 408 ") == 1


async def test_a_body_that_does_not_come_is_ended() -> None:
    async with limited(body_seconds=0.05) as (server, secret), connected(server) as stream:
        await stream.send(posted(secret))
        assert (await rest(stream)).startswith(b"HTTP/1.1 408 ")


async def test_a_body_that_no_route_wants_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_connection, "ANSWER_SECONDS", 0.0)
    for seconds in (0.05, 0.5, 5, 50):  # The answer comes too late on a busy machine.
        async with limited(body_seconds=seconds) as (server, _), connected(server) as stream:
            await stream.send(posted("wrong"))
            answer = await rest(stream)
        if answer:
            break
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_body_that_ends_early_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with limited() as (server, secret):
        async with connected(server) as stream:
            await stream.send(posted(secret))
        async with server.stranger(authorization=f"Bearer {secret}") as client:
            assert (await client.get("/v1/log")).json()["position"] == 1
    assert "fault" not in caplog.text


async def test_a_client_that_does_not_read_is_cut() -> None:
    async with limited(write_seconds=0.05) as (server, secret), connected(server) as stream:
        await stream.send(
            b"GET /v1/events/live HTTP/1.1\r\nhost: x\r\n"
            b"authorization: Bearer " + secret.encode() + b"\r\n\r\n"
        )
        await until(lambda: server.gateway.followers)
        while server.gateway.followers:
            await server.store.append("a/1", [NewEvent("Large", "x" * 500_000)])
            await anyio.sleep(0.01)


async def test_one_connection_too_many_is_told_to_come_again() -> None:
    async with (
        limited(connections=2) as (server, _),
        connected(server) as first,
        connected(server) as second,
    ):
        for stream in (first, second):
            await stream.send(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
        async with connected(server) as third:
            refused = await rest(third)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in refused.lower()


async def test_a_token_has_its_rate_and_its_streams() -> None:
    async with client_of(rate=0.001) as (server, client):
        async with live(client):
            late = await client.get("/v1/log")
            assert late.status_code == 429
            assert 1 <= int(late.headers["retry-after"]) <= 1_000
            written = await client.post("/v1/store/write", content=b"")
            assert written.status_code == 429, "stores by URL have the same rate"
            assert (await client.get("/healthz")).status_code == 200
        async with server.stranger() as other:  # An address, with a rate of its own.
            assert (await other.get("/v1/log")).status_code == 401
            assert (await other.get("/v1/log")).status_code == 429


async def test_a_token_has_no_more_streams_than_allowed() -> None:
    async with client_of(token_streams=1) as (server, client):
        async with live(client):
            for path in ("/v1/events/live", "/v1/events?after=end&wait=60"):
                refused = await client.get(path)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        await until(lambda: not server.gateway.followers)
        async with live(client):
            pass
