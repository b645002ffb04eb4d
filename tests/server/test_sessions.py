"""A browser's session: a cookie that no script reads, and that no page of another site may use."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.waiting import eventually

from eventstore import EventStore
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import create_token, revoke_token
from server.conftest import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from server.conftest import Server

pytestmark = pytest.mark.anyio

OWN = {"sec-fetch-site": "same-origin"}
STATE = {"state": "disabled", "reason": "it fires too often"}


@asynccontextmanager
async def sign_in(server: Server, *scopes: str) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client with the cookie of a new token."""
    secret = await create_token(server.store, "op", scopes)
    async with server.stranger() as client:

        async def taken() -> bool:
            answer = await client.put("/v1/session", json={"token": secret}, headers=OWN)
            return answer.status_code == 200

        await eventually(taken)
        yield client


async def test_the_cookie_is_for_this_server_alone_and_for_no_script(server: Server) -> None:
    async with sign_in(server, "read") as client:
        secret = client.cookies["eventstore_session"]
        answer = await client.put("/v1/session", json={"token": secret}, headers=OWN)
        assert answer.json()["session"]["name"] == "op"
        said = answer.headers["set-cookie"].lower()
        assert {"httponly", "samesite=strict", "path=/"} <= set(said.split("; "))
        assert "secure" not in said  # As the test's connection is not encrypted.
        assert (await client.get("/v1/log")).status_code == 200
        assert secret not in (await client.get("/v1/session")).text


async def test_behind_a_proxy_the_cookie_travels_encrypted_alone() -> None:
    async with (
        EventStore.open("memory://") as store,
        served(store, settings=ServerSettings(behind_proxy=True)) as server,
        server.stranger() as client,
    ):
        answer = await client.delete("/v1/session", headers=OWN)
    assert answer.status_code == 204
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_a_wrong_token_gives_no_session(server: Server) -> None:
    async with server.stranger() as client:
        answer = await client.put("/v1/session", json={"token": "wrong"}, headers=OWN)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert (await client.get("/v1/session")).json() == {"session": None}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
    ],
)
async def test_a_page_of_another_site_changes_nothing(
    server: Server, headers: dict[str, str]
) -> None:
    async with sign_in(server, "admin") as client:
        calls: list[tuple[str, str, Any]] = [
            ("PUT", "/v1/rules/r/state", STATE),
            ("POST", "/v1/streams/a%2F1", {"events": [{"type": "Happened", "data": 1}]}),
            ("PUT", "/v1/session", {"token": "other"}),
            ("DELETE", "/v1/session", None),
        ]
        for method, path, body in calls:
            answer = await client.request(method, path, json=body, headers=headers)
            assert answer.status_code == 403
        answer = await client.put("/v1/rules/r/state", json=STATE, headers=OWN)
        assert answer.json()["state"]["set_by"] == "op"
    types = [event.type async for event in server.store.read()]
    assert types == ["TokenCreated", "RuleStateSet"]


async def test_an_older_browser_is_known_by_its_origin(server: Server) -> None:
    async with sign_in(server, "state") as client:
        own = {"origin": server.url}
        answer = await client.put("/v1/rules/r/state", json=STATE, headers=own)
        assert answer.status_code == 200


async def test_a_cookie_allows_no_more_than_its_token_and_ends_with_it(server: Server) -> None:
    async with sign_in(server, "read") as client:
        answer = await client.put("/v1/rules/r/state", json=STATE, headers=OWN)
        assert answer.status_code == 403
        # A proxy keeps the answer for an Authorization: a cookie must not decide it.
        asked = {"x-original-uri": "/v1/pages/1/1-2"}
        assert (await client.get("/v1/auth", headers=asked)).status_code == 401
        await revoke_token(server.store, "op")

        async def ended() -> bool:
            return (await client.get("/v1/log")).status_code == 401

        await eventually(ended)
        assert (await client.get("/v1/session")).json() == {"session": None}


async def test_the_console_is_open_and_shows_nothing_of_the_log(server: Server) -> None:
    async with server.stranger() as client:
        page = await client.get("/")
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        again = await client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert again.status_code == 304
        for name in ("app.js", "style.css", "icon.svg"):
            assert (await client.get(f"/console/{name}")).status_code == 200
        for name in ("..%2Froutes.py", "__init__.py", "nothing.js", "%2e%2e%2f__init__.py"):
            assert (await client.get(f"/console/{name}")).status_code == 404
