"""Verifying over HTTP, and what was taken out of the log; the samples of the last hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.verifications import Held
from support.waiting import eventually

from eventstore import EventStore, NewEvent
from eventstore.server._hour_samples import KEPT, LastHour
from eventstore.testing import FakeClock
from server.conftest import Server, served

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import httpx

pytestmark = pytest.mark.anyio

PATH = "/v1/verification"


async def last(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(PATH)).json()["verification"]
    return found


async def ended(client: httpx.AsyncClient) -> dict[str, Any]:
    async def is_ended() -> bool:
        return bool((await last(client))["state"] != "running")

    await eventually(is_ended)
    return await last(client)


async def test_a_log_is_verified_as_a_job_that_keeps_what_it_has_found(server: Server) -> None:
    async with await server.client("admin", name="ops") as client:
        assert await last(client) == {"state": "none"}
        assert (await client.post(PATH, json={})).status_code == 202
        found = await ended(client)
        assert (found["state"], found["by"], found["events"], found["findings"]) == (
            "done", "ops", 1, [],
        )  # fmt: skip
        wrong = f"{found['anchor'][:-64]}{'0' * 64}"
        await client.post(PATH, json={"anchor": wrong})
        again = await ended(client)
        assert (again["total"], again["findings"][0]["where"]) == (1, "anchor 1")
        assert (await client.post(PATH, json={"anchor": "x"})).status_code == 400


async def test_one_verification_runs_at_a_time_and_is_cancelled(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Held(monkeypatch)
    async with await server.client("admin") as client:
        assert (await client.delete(PATH)).status_code == 409
        await client.post(PATH, json={})
        assert (await client.post(PATH, json={})).status_code == 409
        assert (await client.delete(PATH)).status_code == 202
        assert (await ended(client))["state"] == "cancelled"
        await client.post(PATH, json={})
        assert (await last(client))["state"] == "running"  # The server ends with it.


async def test_a_verification_is_for_administrators_and_its_result_for_readers(
    server: Server,
) -> None:
    async with await server.client("read", "append", "ack", "state") as client:
        assert (await client.post(PATH, json={})).status_code == 403
        assert (await client.delete(PATH)).status_code == 403
        for path in (PATH, "/v1/redactions", "/v1/trims", "/v1/hour"):
            assert (await client.get(path)).status_code == 200, path
    async with await server.client("admin", streams=["rule/"]) as client:
        assert (await client.post(PATH, json={})).status_code == 403
        for path in (PATH, "/v1/redactions", "/v1/trims", "/v1/hour"):
            assert (await client.get(path)).status_code == 403, path


async def test_redactions_and_trims_are_listed_the_newest_first(
    server: Server, tmp_path: Path
) -> None:
    store = server.store
    for number in range(4):
        await store.append("a/1", [NewEvent("Happened", number)])
    for position in (1, 4):
        await store.redact(position, "asked for", "ana")
    await store.trim(3, archive=tmp_path / "old", reason="a year old", by="ben")
    async with await server.client("read") as client:
        redactions = (await client.get("/v1/redactions")).json()["redactions"]
        assert [(one["position"], one["by"]) for one in redactions] == [(4, "ana"), (1, "ana")]
        (trim,) = (await client.get("/v1/trims")).json()["trims"]
        assert (trim["first_position"], trim["archive"], trim["by"]) == (3, "old", "ben")


async def test_the_last_hour_is_kept_and_nothing_older() -> None:
    clock = FakeClock()
    async with (
        EventStore.open("memory://", clock=clock) as store,
        served(store) as server,
        await server.client("read") as client,
    ):
        hour = server.gateway.hour = LastHour(store)  # Nothing but the test takes its samples.
        await store.append("a/1", [NewEvent("Happened", n) for n in range(3)])
        async with store.subscribe_changes(consumer="slow", streams="a/") as changes:
            await anext(changes)
            await changes.ack()
        await hour.take()
        found = (await client.get("/v1/hour")).json()
        sample = found["samples"][-1]
        assert (sample["position"], sample["lag"]) == (4, 4 - 2)
        assert sample["at"] == clock.now_us / 1e6
        for _ in range(KEPT):
            clock.now_us += 10_000_000
            await hour.take()
        times = [one["at"] for one in (await client.get("/v1/hour")).json()["samples"]]
        assert len(times) == KEPT
        assert times[-1] - times[0] == 3_600
