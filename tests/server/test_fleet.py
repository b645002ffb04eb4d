"""The fleet over HTTP: workers of any language tell what they have loaded, operators see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from projections.rules import RuleState, RuleStore
from projections.rules.holds import hold_rules
from server.test_rules import define

if TYPE_CHECKING:
    import httpx

    from server.conftest import Server

pytestmark = pytest.mark.anyio

HOSTILE = "../a/b%2F é<script>?x#y"


def path(worker: str) -> str:
    return f"/v1/fleet/{quote(worker, safe='')}"


async def fleet(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/v1/fleet")).json()
    return found


async def test_a_worker_tells_what_it_has_loaded_and_is_listed_until_it_is_forgotten(
    server: Server,
) -> None:
    await define(server.store, "R1")
    async with await server.client("read", "ack", name="engine") as client:
        intended = (await fleet(client))["intended"]
        body = {"hash": intended["hash"], "position": intended["since"], "rules": 1}
        more = {"engine": "js", "version": "3", "rejected": {"R9": "why"}}
        assert (await client.put(path(HOSTILE), json=body | more)).status_code == 204
        (worker,) = (await fleet(client))["workers"]
        assert (worker["worker"], worker["verdict"]) == (HOSTILE, "current")
        assert (worker["engine"], worker["version"], worker["process"]) == ("js", "3", "by engine")
        assert (worker["rejected"], worker["rules"]) == ([["R9", "why"]], 1)
        await define(server.store, "R1", rule_version=2)
        (worker,) = (await fleet(client))["workers"]
        assert (worker["verdict"], worker["differs"]) == ("behind", [["R1", "changed"]])
        (held,) = (await client.get("/v1/rules/R1/fleet")).json()["workers"]
        assert (held["worker"], held["has"], held["why"]) == (HOSTILE, "differs", "changed")
        assert (await client.delete(path(HOSTILE))).status_code == 204
        assert (await fleet(client))["workers"] == []


async def test_the_intended_set_is_the_one_that_rule_stores_report_held_or_not(
    server: Server,
) -> None:
    store, rules = server.store, RuleStore(server.store)
    await define(store, "R1")
    held = (await store.head()).position
    await define(store, "R2")
    await rules.set_state("R1", RuleState("clipped", 0.2), set_by="ana")
    async with await server.client("read") as client:
        for number in (2, 1):
            report = await rules.report_loaded(await rules.load_compiled(), worker="w")
            found = await fleet(client)
            assert report.rules == found["intended"]["rules"] == number
            assert report.hash == found["intended"]["hash"]
            assert [one["verdict"] for one in found["workers"]] == ["current"]
            await hold_rules(store, held, by="ana")
        assert found["intended"]["held"] == held


@pytest.mark.parametrize(
    "body",
    [
        {"hash": "x", "position": 1},
        {"hash": "A" * 64, "position": 1},
        {"hash": "", "position": -1},
        {"hash": ""},
        {"hash": "", "position": 1, "differs": {"R1": "odd"}},
        {"hash": "", "position": 1, "more": 1},
    ],
)
async def test_what_is_no_report_is_refused(server: Server, body: dict[str, Any]) -> None:
    async with await server.client("ack") as client:
        assert (await client.put(path("w"), json=body)).status_code == 400


async def test_reports_need_the_scope_ack_and_reading_the_whole_log(server: Server) -> None:
    body = {"hash": "", "position": 1}
    async with await server.client("read", streams=["rule/"]) as client:
        assert (await client.put(path("w"), json=body)).status_code == 403
        assert (await client.delete(path("w"))).status_code == 403
        assert (await client.get("/v1/fleet")).status_code == 403
        assert (await client.get("/v1/rules/R1/fleet")).status_code == 403
    async with await server.client("ack") as client:
        assert (await client.put(path("x" * 300), json=body)).status_code in {400, 413}
