"""Pages that caches keep: complete, unchanging under their URL, and gone by name once redacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.logs import some

from eventstore import EventStore, NewEvent
from eventstore.server import _pages
from eventstore.server.settings import ServerSettings
from server.conftest import Server, served

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def pages_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pages, "PAGE_SIZE", 4)


async def generation(client: httpx.AsyncClient) -> str:
    return str((await client.get("/v1/log")).json()["generation"])


async def test_complete_pages_are_cacheable_and_lead_on_to_the_events(server: Server) -> None:
    async with await server.client("read") as client:  # Position 1.
        for number in range(2, 8):
            await server.store.append("a/1", [NewEvent("Happened", number)])
        name = await generation(client)
        page = await client.get(f"/v1/pages/{name}/1-4")
        assert page.headers["cache-control"] == "private, max-age=3600, immutable"
        assert [one["position"] for one in page.json()["events"]] == [1, 2, 3, 4]
        only = await client.get(f"/v1/pages/{name}/1-4", params={"streams": "a/"})
        assert [one["data"] for one in only.json()["events"]] == [2, 3, 4]
        none = await client.get(f"/v1/pages/{name}/1-4", params={"streams": "b/"})
        for answer in (page, only, none):
            after = {"after": answer.json()["cursor"], "streams": "a/"}
            rest = await client.get("/v1/events", params=after)
            assert [one["data"] for one in rest.json()["events"]] == [5, 6, 7]
        incomplete = await client.get(f"/v1/pages/{name}/5-8")
        assert (incomplete.status_code, incomplete.headers["cache-control"]) == (404, "no-store")
        await server.store.append("a/1", some(1))
        assert (await client.get(f"/v1/pages/{name}/5-8")).status_code == 200


async def test_the_name_of_a_page_changes_with_redactions_and_trims(
    server: Server, tmp_path: Any
) -> None:
    async with await server.client("read") as client:
        for number in range(2, 10):
            await server.store.append("a/1", [NewEvent("Happened", f"SECRET {number}")])
        names = [await generation(client)]
        await server.store.redact(3, reason="asked for")
        names.append(await generation(client))
        page = await client.get(f"/v1/pages/{names[1]}/1-4")
        assert ["SECRET 3" in page.text, "SECRET 4" in page.text] == [False, True]
        await server.store.trim(5, archive=tmp_path / "archive")
        names.append(await generation(client))
        assert len(set(names)) == 3
        for old in [*names[:2], "0" * 32, "..", "%00"]:
            answer = await client.get(f"/v1/pages/{old}/5-8")
            assert (answer.status_code, answer.headers["cache-control"]) in {
                (410, "no-store"),
                (404, "no-store"),
            }
        assert (await client.get(f"/v1/pages/{names[2]}/1-4")).status_code == 410
        begun = await client.get(f"/v1/pages/{names[2]}/5-8")
        assert begun.json()["first"] == (await server.store.head()).first_position


async def test_a_page_has_one_name(server: Server) -> None:
    async with await server.client("read") as client:
        await server.store.append("a/1", some(8))
        name = await generation(client)
        for span in ("1-5", "2-5", "01-04", "0-3", "1-4 ", "4-1", "1", "-", "1-4-", "9" * 99):
            assert (await client.get(f"/v1/pages/{name}/{span}")).status_code == 404, span
        twice = await client.get(f"/v1/pages/{name}/1-4?streams=a/&streams=b/")
        assert twice.status_code == 400


async def test_a_shared_cache_keeps_pages_only_where_the_operator_says_so() -> None:
    settings = ServerSettings(shared_pages=True, page_max_age=60)
    async with (
        EventStore.open("memory://") as store,
        served(store, settings=settings) as server,
        await server.client("read", streams=["a/"]) as client,
    ):
        await store.append("a/1", some(4))
        path = f"/v1/pages/{await generation(client)}/1-4"
        page = await client.get(path, params={"streams": "a/"})
        assert page.headers["cache-control"] == "public, max-age=60, immutable"
        for filters in ({}, {"streams": "b/"}):
            refused = await client.get(path, params=filters)
            assert (refused.status_code, refused.headers["cache-control"]) == (403, "no-store")
