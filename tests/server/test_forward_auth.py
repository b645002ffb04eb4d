"""``/v1/auth``: what a proxy that asks for each request may answer from its cache."""

from __future__ import annotations

import pytest

from eventstore import EventStore
from eventstore.server.tokens import revoke_token
from server.conftest import Server, served

pytestmark = pytest.mark.anyio

PAGE = "/v1/pages/0123/1-1024"


async def test_a_page_is_for_tokens_of_its_streams(server: Server) -> None:
    async with await server.client("read", streams=["a/"], name="some") as client:
        for target, status in (
            (f"{PAGE}?streams=a/", 204),
            (f"{PAGE}?streams=a%2F1&types=x", 204),
            (PAGE, 403),
            (f"{PAGE}?streams=b/", 403),
            (f"{PAGE}?streams=a/&streams=b/", 403),
            (f"{PAGE}?STREAMS=a/", 403),
            ("/v1/events/live", 403),
            ("/v1/consumers/w", 204),
            ("/v1/log?" + "x=1&" * 200, 204),
            (f"{PAGE}?" + "x=1&" * 200, 403),
        ):
            for name in ("x-original-uri", "x-forwarded-uri"):
                answer = await client.get("/v1/auth", headers={name: target})
                assert answer.status_code == status, target
        assert (await client.get("/v1/auth")).status_code == 403
        both = {"x-original-uri": PAGE, "x-forwarded-uri": f"{PAGE}?streams=a/"}
        assert (await client.get("/v1/auth", headers=both)).status_code == 403
        twice = [("x-original-uri", PAGE), ("x-original-uri", f"{PAGE}?streams=a/")]
        assert (await client.get("/v1/auth", headers=twice)).status_code == 403


async def test_a_token_without_reading_or_in_force_no_more_sees_no_page(server: Server) -> None:
    target = {"x-original-uri": PAGE}
    async with await server.client("append") as client:
        assert (await client.get("/v1/auth", headers=target)).status_code == 403
    async with server.stranger() as client:
        assert (await client.get("/v1/auth", headers=target)).status_code == 401
    async with await server.client("read", name="gone") as client:
        kept = await client.get("/v1/auth", headers=target)
        assert (kept.status_code, kept.headers["cache-control"]) == (204, "max-age=30")
        assert "authorization" in kept.headers["vary"]
        await revoke_token(server.store, "gone")
        status = 204
        while status != 401:
            refused = await client.get("/v1/auth", headers=target)
            status = refused.status_code
        assert refused.headers["cache-control"] == "no-store"


async def test_pages_are_open_to_all_where_reading_is() -> None:
    async with (
        EventStore.open("memory://") as store,
        served(store, anonymous_read=True) as server,
        server.stranger() as client,
    ):
        answer = await client.get("/v1/auth", headers={"x-original-uri": PAGE})
        assert answer.status_code == 204
