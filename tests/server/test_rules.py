"""Rules, states and views over HTTP: what they answer, to whom, and how they are revalidated."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.rule_events import definition_data

from eventstore import ConfigError, EventStore, NewEvent
from eventstore.server.app import make_app
from eventstore.server.routes import Route
from eventstore.testing import FakeClock
from projections.rules import RuleTables
from projections.rules.holds import hold_rules, release_rules
from projections.tables.http_routes import get_views
from server.conftest import Server, served

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio

HARD = "a/b%2F é/history"
"""A rule's id that every part of a path has to leave alone."""


async def define(store: EventStore, rule_id: str, **rule: Any) -> None:
    data = definition_data(rule_id, f"{rule_id}.yml", b"text", **rule)
    await store.append(f"rule/{rule_id}", [NewEvent("RuleDefined", data)])


async def test_the_routes_give_the_rules_at_which_they_are_held(server: Server) -> None:
    await define(server.store, "R1", rule_version=1)
    await define(server.store, "R2", rule_version=1)
    await define(server.store, "R1", rule_version=2)
    await server.store.append("rule/R2", [NewEvent("RuleRemoved", {})])
    async with await server.client("read", "state") as client:
        free = (await get(client)).json()
        assert (free["held"], [one["rule_version"] for one in free["rules"]]) == (None, [2])
        await hold_rules(server.store, 2, by="ana")
        await define(server.store, "R3", rule_version=1)
        await client.put("/v1/rules/R2/state", json={"state": "disabled"})
        held = (await get(client)).json()
        assert held["held"] == 2
        known = [(one["rule_id"], one["position"], one["revision"]) for one in held["rules"]]
        assert known == [("R1", 1, 1), ("R2", 2, 1)]
        assert held["rules"][1]["state"]["state"] == "disabled"
        for one in held["rules"]:
            assert (await get(client, one["rule_id"])).json() == one | {"held": 2}
        assert (await get(client, "R3")).status_code == 404
        await release_rules(server.store, by="ana")
        assert [one["rule_id"] for one in (await get(client)).json()["rules"]] == ["R1", "R3"]


async def get(client: httpx.AsyncClient, *segments: str, **headers: str) -> httpx.Response:
    """Ask for a path, each segment of it percent-encoded."""
    from urllib.parse import quote

    path = "/".join(quote(one, safe="") for one in segments)
    return await client.get(f"/v1/rules/{path}".rstrip("/"), headers=headers)


async def test_rules_are_listed_with_their_states_and_a_cursor_to_follow_from(
    server: Server,
) -> None:
    for rule_id in ("R2", HARD):
        await define(server.store, rule_id, rule_version=3)
    async with await server.client("read", "state") as client:
        head = (await client.get("/v1/log")).json()["cursor"]
        first = await get(client)
        assert [one["rule_id"] for one in first.json()["rules"]] == ["R2", HARD]
        assert first.json()["rules"][0]["state"]["state"] == "enabled"
        assert first.headers["eventstore-cursor"] == head
        again = await get(client, **{"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await server.store.append("other/1", [NewEvent("Happened", 1)])
        again = await get(client, **{"if-none-match": f'"x", W/{first.headers["etag"]}'})
        assert again.status_code == 304
        assert again.headers["eventstore-cursor"] != head
        await define(server.store, "R2", rule_version=4)
        after = await get(client, **{"if-none-match": first.headers["etag"]})
        assert [one["rule_version"] for one in after.json()["rules"]] == [4, 3]


async def test_one_rule_its_history_and_each_revision_are_found_by_any_id(server: Server) -> None:
    await define(server.store, HARD, rule_version=1)
    await define(server.store, HARD, rule_version=2)
    async with await server.client("read", "state") as client:
        rule = (await get(client, HARD)).json()
        assert (rule["rule_version"], rule["revision"], rule["path"]) == (2, 2, f"{HARD}.yml")
        old = (await get(client, HARD, "revisions", "1")).json()
        assert (old["rule_version"], old["content"], old["kind"]) == (1, "text", "defined")
        for revision in ("0", "3", "x", "-1", "9" * 400, "\u0661"):
            assert (await get(client, HARD, "revisions", revision)).status_code == 404
        assert (await get(client, "unknown")).status_code == 404
        await server.store.append(f"rule/{HARD}", [NewEvent("RuleRemoved", {})])
        await server.store.redact(2, reason="asked for")
        assert (await get(client, HARD)).status_code == 404
        history = (await get(client, HARD, "history")).json()["history"]
        kinds = [(one["kind"], one["revision"]) for one in history]
        assert kinds == [("defined", 1), ("redacted", 2), ("removed", 3)]


async def test_a_history_comes_in_pages_that_leave_nothing_out(server: Server) -> None:
    async with await server.client("read", "state") as client:
        for number in range(3):
            await define(server.store, "R1", rule_version=number)
            await client.put("/v1/rules/R1/state", json={"state": "disabled"})
        found, after = list[str](), 0
        while True:
            answer = await client.get(f"/v1/rules/R1/history?after={after}&limit=2")
            if not answer.json()["history"]:
                break
            found += [one["kind"] for one in answer.json()["history"]]
            after = answer.json()["after"]
        assert found == ["defined", "state"] * 3


async def test_a_state_is_set_at_the_version_that_was_seen_by_the_token_s_name(
    server: Server,
) -> None:
    path = "/v1/rules/R1/state"
    async with await server.client("state", "read", name="ops") as client:
        assert (await client.get(path)).json()["version"] == 0
        body = {"state": "clipped", "confidence_max": 0.5, "reason": "noisy"}
        set_ = await client.put(path, json={**body, "expected": "no-stream"})
        assert (set_.status_code, set_.json()["version"]) == (200, 1)
        late = await client.put(path, json={"state": "enabled", "expected": "no-stream"})
        assert (late.status_code, late.json()["title"]) == (409, "ConflictError")
        state = (await client.get(path)).json()
        assert (state["version"], state["state"]["set_by"]) == (1, "ops")
        assert (await client.put(path, json={"state": "disabled", "expected": 1})).is_success
        for wrong in (
            {"state": "off"},
            {},
            {"state": "enabled", "set_by": "else"},
            {"state": "clipped", "confidence_max": 2},
            {"state": "disabled", "expires_at": "soon"},
        ):
            assert (await client.put(path, json=wrong)).status_code == 400, wrong
        assert (await client.get(path)).json()["version"] == 2


async def test_a_state_ends_by_time_and_its_tag_changes_with_it() -> None:
    clock = FakeClock()
    now = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    clock.now_us = int(now.timestamp() * 1e6)
    async with EventStore.open("memory://", clock=clock) as store, served(store) as server:
        await define(store, "R1")
        async with await server.client("read", "state") as client:
            end = (now + timedelta(hours=1)).isoformat()
            await client.put("/v1/rules/R1/state", json={"state": "disabled", "expires_at": end})
            before = await client.get("/v1/rules/R1")
            assert before.json()["state"]["state"] == "disabled"
            clock.now_us += 3_600_000_000
            tag = {"if-none-match": before.headers["etag"]}
            after = await client.get("/v1/rules/R1", headers=tag)
            assert (after.status_code, after.json()["state"]["state"]) == (200, "enabled")


async def test_a_token_sees_and_sets_the_rules_of_its_streams_alone(server: Server) -> None:
    own = ["rule/R1", "rule-state/R1"]
    for rule_id in ("R1", "R2"):
        await define(server.store, rule_id)
    async with await server.client("read", "state", streams=own) as client:
        for path, status in (("/R1", 200), ("/R1/history", 200), ("/R1/state", 200), ("", 403)):
            assert (await client.get(f"/v1/rules{path}")).status_code == status, path
        for path in ("/R2", "/R2/history", "/R2/state", "/R2/revisions/1"):
            assert (await client.get(f"/v1/rules{path}")).status_code == 403, path
        for rule_id, status in (("R1", 200), ("R2", 403)):
            answer = await client.put(f"/v1/rules/{rule_id}/state", json={"state": "disabled"})
            assert answer.status_code == status
        assert (await client.get("/v1/views")).status_code == 403
    async with await server.client("read", streams=["rule/"]) as client:
        assert (await client.get("/v1/rules")).status_code == 403
        assert (await client.put("/v1/rules/R1/state", json={})).status_code == 403
    async with server.stranger() as client:
        for path in ("/v1/rules", "/v1/rules/R1", "/v1/views"):
            assert (await client.get(path)).status_code == 401


async def test_views_are_listed_with_version_and_lag() -> None:
    async with (
        EventStore.open("memory://", inline=[RuleTables()]) as store,
        served(store) as server,
        await server.client("read") as client,
    ):
        await define(store, "R1")
        answer = await client.get("/v1/views")
        (view,) = answer.json()["views"]
        assert (view["name"], view["state"], view["lag"]) == ("rules", "live", 0)
        tag = {"if-none-match": answer.headers["etag"]}
        assert (await client.get("/v1/views", headers=tag)).status_code == 304


async def test_two_routes_of_one_path_are_refused() -> None:
    async with EventStore.open("memory://") as store:
        with pytest.raises(ConfigError, match="GET /v1/log is there already"):
            make_app(store, routes=[Route("GET", "/v1/log", get_views)])
