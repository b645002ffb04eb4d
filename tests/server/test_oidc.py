"""Tokens of an issuer at a server: keys fetched, rotated and withdrawn; closed without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.issuers import AUDIENCE, PublishingIssuer, an_issuer, claims, jwk, signed
from support.waiting import eventually

from eventstore import EventStore, NewEvent
from eventstore.server import issuer as issuers
from eventstore.server.issuer import Issuer
from server.conftest import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import httpx

    from server.conftest import Server

pytestmark = pytest.mark.anyio


@pytest.fixture
def publishing() -> Iterator[PublishingIssuer]:
    with an_issuer() as publishing:
        yield publishing


@pytest.fixture
async def server(publishing: PublishingIssuer) -> AsyncIterator[Server]:
    issuer = Issuer(publishing.url, AUDIENCE)
    async with EventStore.open("memory://") as store, served(store, issuer=issuer) as server:
        yield server


async def ask(server: Server, token: str, path: str = "/v1/log") -> httpx.Response:
    async with server.stranger(authorization=f"Bearer {token}") as client:
        return await client.get(path)


async def answered(server: Server, token: str, status: int) -> None:
    async def is_so() -> bool:
        return (await ask(server, token)).status_code == status

    await eventually(is_so)


def token_of(publishing: PublishingIssuer, server: Server, name: str, **changed: object) -> str:
    return signed(claims(publishing.url, server.store.clock(), **changed), name)


async def test_keys_are_fetched_rotated_and_withdrawn(
    publishing: PublishingIssuer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "LOOK_SECONDS", 0.0)
    first, second = (token_of(publishing, server, name) for name in ("ec-1", "ec-2"))
    await answered(server, first, 200)
    looks = len(publishing.asked)
    assert (await ask(server, second)).status_code == 503
    publishing.keys.append(jwk("ec-2"))
    await answered(server, second, 200)
    assert (await ask(server, first)).status_code == 200
    assert len(publishing.asked) > looks
    async with (
        server.stranger(authorization=f"Bearer {first}") as client,
        client.stream("GET", "/v1/events/live") as live,
    ):
        lines = live.aiter_lines()
        assert await anext(lines) == ": connected"
        del publishing.keys[0]
        unknown = token_of(publishing, server, "ec-3")
        assert (await ask(server, unknown)).status_code == 503  # It asks for the keys again.
        assert [line async for line in lines if line and not line.startswith(":")] == []
    assert (await ask(server, second)).status_code == 200


@pytest.mark.slow
async def test_scopes_and_streams_are_held_and_the_name_is_told(
    publishing: PublishingIssuer, server: Server
) -> None:
    scopes = "eventstore:read eventstore:state"
    token = token_of(publishing, server, "ec-1", scope=scopes, eventstore_streams=["rule-state/"])
    await answered(server, token, 200)
    async with server.stranger(authorization=f"Bearer {token}") as client:
        done = await client.put("/v1/rules/R1/state", json={"state": "disabled"})
        assert (done.status_code, done.json()["state"]["set_by"]) == (200, "oidc worker-1")
        events = [{"type": "T", "data": 1}]
        for answer in (
            await client.post("/v1/streams/rule-state%2FR1", json={"events": events}),
            await client.get("/v1/events"),
            await client.get("/v1/events?streams=order/"),
        ):
            assert answer.status_code == 403
    await server.store.append("a/1", [NewEvent("T", 1)])
    own = await server.client("read")
    async with own:
        assert (await own.get("/v1/events?streams=a/")).status_code == 200


@pytest.mark.slow
async def test_without_the_issuer_its_tokens_are_refused_and_those_of_the_log_are_not() -> None:
    with an_issuer() as publishing:
        publishing.down = True
        issuer = Issuer(publishing.url, AUDIENCE)
        async with EventStore.open("memory://") as store, served(store, issuer=issuer) as server:
            token = token_of(publishing, server, "ec-1")
            answer = await ask(server, token)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            own = await server.client("read")
            async with own:
                assert (await own.get("/v1/log")).status_code == 200
            publishing.discovery["issuer"] = "https://evil.example"
            publishing.down, before = False, len(publishing.asked)

            async def asked_again() -> bool:
                return len(publishing.asked) > before

            await eventually(asked_again)
            assert (await ask(server, token)).status_code == 503
            assert "/keys" not in publishing.asked
