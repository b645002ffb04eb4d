"""What differs between moments, who wrote a line, and reverts, over HTTP: the CLI's answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.rule_events import definition_data

from eventstore import NewEvent
from projections.rules import blame, http_travel
from projections.rules.blame import blame_rule
from projections.rules.sources.lease import SourceLock

if TYPE_CHECKING:
    from eventstore import EventStore
    from server.conftest import Server

pytestmark = pytest.mark.anyio


async def define(store: EventStore, rule_id: str, content: bytes, **rule: Any) -> int:
    data = definition_data(rule_id, f"{rule_id}.yml", content, **rule)
    return (await store.append(f"rule/{rule_id}", [NewEvent("RuleDefined", data)])).position


async def test_moments_are_compared_as_the_command_line_compares_them(server: Server) -> None:
    store = server.store
    await define(store, "R2", b"gone\n")
    before = await define(store, "R1", b"one\ntwo\n")
    await define(store, "R1", b"one\nTWO\n")
    await define(store, "R3", b"new\n")
    await store.append("rule/R2", [NewEvent("RuleRemoved", {"rule_id": "R2"})])
    state: Any = {"rule_id": "R1", "state": {"state": "disabled", "set_by": "ana"}}
    await store.append("rule-state/R1", [NewEvent("RuleStateSet", state)])
    async with await server.client("read") as client:
        found = (await client.get("/v1/diff", params={"a": str(before)})).json()
        assert found["counts"] == {"added": 1, "removed": 1, "changed": 1, "moved": 0, "state": 1}
        by_kind = {one["kind"]: one for one in found["differences"]}
        assert by_kind["changed"]["diff"][-2:] == ["-two", "+TWO"]
        assert (by_kind["state"]["before"]["state"], by_kind["state"]["after"]["state"]) == (
            "enabled", "disabled",
        )  # fmt: skip
        less = (await client.get(f"/v1/diff?a={before}&stat=&limit=1&rule=R1")).json()
        assert (len(less["differences"]), less["more"]) == (1, 1)
        assert "diff" not in less["differences"][0]
        assert (await client.get("/v1/diff?a=99")).status_code == 400
        unknown = await client.get("/v1/diff?a=tag:none")
        assert (unknown.status_code, unknown.json()["title"]) == (404, "UnknownMomentError")


async def test_lines_are_compared_beside_the_event_loop(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all lines of a large file are the same, that takes seconds."""
    threads: list[int] = []

    def noting(function: Any) -> Any:
        def noted(*given: Any, **more: Any) -> Any:
            threads.append(threading.get_ident())
            return function(*given, **more)

        return noted

    for place, name in ((blame, "SequenceMatcher"), (http_travel, "diff_contents")):
        monkeypatch.setattr(place, name, noting(getattr(place, name)))
    await define(server.store, "R1", b"one\n")
    async with await server.client("read") as client:
        assert (await client.get("/v1/rules/R1/blame")).json()["lines"][0]["text"] == "one"
        assert (await client.get("/v1/rules/R1/revisions/1/diff")).json()["diff"][-1] == "+one"
    assert len(threads) == 2
    assert threading.get_ident() not in threads


async def test_a_file_of_another_rule_is_for_tokens_of_all_rules(server: Server) -> None:
    """An event of a rule that may be appended to can name any other rule, or its path."""
    store, mine = server.store, definition_data("R1", "R2.yml", b"mine\n")
    await store.append("rule/R1", [NewEvent("RuleDefined", mine)])
    await define(store, "R2", b"secret\n")
    named = definition_data("R1", "R2.yml", b"")
    del named["content"]
    paths = ("/v1/rules/R1/blame", "/v1/rules/R1/revisions/2/diff", "/v1/diff?rule=R1")
    async with (
        await server.client("read", streams=["rule/R1", "rule-state/R1"]) as some,
        await server.client("read") as every,
    ):
        assert "secret" not in (await some.get(paths[2])).text
        await store.append("rule/R1", [NewEvent("RuleDefined", {**named, "content_in": "rule/R2"})])
        for path in paths:
            answer = await some.get(path)
            assert (answer.status_code, "secret" in answer.text) == (403, False)
            assert "secret" in (await every.get(path)).text


async def test_a_revision_is_compared_with_the_one_before_and_with_any(server: Server) -> None:
    for text in (b"one\n", b"two\n", b"three\n"):
        last = await define(server.store, "R1", text)
    async with await server.client("read") as client:
        path = "/v1/rules/R1/revisions"
        assert (await client.get(f"{path}/3/diff")).json()["diff"][-2:] == ["-two", "+three"]
        assert (await client.get(f"{path}/3/diff?since=1")).json()["diff"][-2:] == [
            "-one",
            "+three",
        ]
        first = (await client.get(f"{path}/1/diff")).json()
        assert (first["since"], first["diff"][0]) == (0, "--- /dev/null")
        assert (await client.get(f"{path}/4/diff")).status_code == 404
        blamed = (await client.get("/v1/rules/R1/blame")).json()
        assert blamed["lines"] == [
            one.values() for one in await blame_rule(server.store, "R1", last)
        ]
        assert (await client.get("/v1/rules/none/blame")).status_code == 400


async def test_a_revert_is_previewed_and_then_one_commit_by_the_token(server: Server) -> None:
    before = await define(server.store, "R1", b"good\n")
    await define(server.store, "R1", b"bad\n")
    async with await server.client("read", "append", name="ops") as client:
        wanted = {"target": "R1", "to": str(before)}
        shown = (await client.get("/v1/revert", params=wanted)).json()
        assert (shown["events"], shown["refused"]) == (1, None)
        assert shown["differences"][0]["diff"][-2:] == ["-bad", "+good"]
        assert shown["note"] == "the next sync of s takes the word of the files"
        await define(server.store, "R1", b"worse\n")
        late = await client.post("/v1/revert", json={**wanted, "plan": shown["plan"]})
        assert (late.status_code, "has changed since" in late.json()["detail"]) == (409, True)
        plan = (await client.get("/v1/revert", params=wanted)).json()["plan"]
        done = await client.post("/v1/revert", json={**wanted, "plan": plan, "reason": "it fired"})
        assert done.json()["position"] == (await server.store.head()).position
        last = [event async for event in server.store.read(streams="rule/R1")][-1]
        assert last.metadata == {"by": "ops", "reason": "it fired", "reverted_to": before}
        again = await client.post("/v1/revert", json=wanted)
        assert (again.json()["events"], again.json()["position"]) == (0, None)


async def test_no_source_is_reverted_that_a_master_follows(server: Server) -> None:
    before = await define(server.store, "R1", b"good\n")
    head = await define(server.store, "R1", b"bad\n")
    lock = SourceLock(server.store, "s")
    assert lock.try_acquire()
    async with await server.client("read", "append") as client:
        shown = await client.get("/v1/revert", params={"target": "R1", "to": str(before)})
        assert "which takes the word of the files" in shown.json()["refused"]
        done = await client.post("/v1/revert", json={"target": "R1", "to": before})
        assert (done.status_code, done.json()["detail"]) == (409, shown.json()["refused"])
    assert [event.position async for event in server.store.read(streams="rule/R1")][-1] == head
    lock.release()


async def test_what_a_token_may_not_is_not_done(server: Server) -> None:
    before = await define(server.store, "R1", b"good\n")
    await define(server.store, "R1", b"bad\n")
    body = {"target": "R1", "to": before}
    async with await server.client("read", "state", "ack") as client:
        assert (await client.post("/v1/revert", json=body)).status_code == 403
    async with await server.client("append") as client:
        assert (await client.post("/v1/revert", json=body)).status_code == 403
        assert (await client.get("/v1/diff?a=0")).status_code == 403
    async with await server.client("read", streams=["rule/R1", "rule-state/R1"]) as client:
        assert (await client.get("/v1/diff?a=0&rule=R1")).status_code == 200
        for path in ("/v1/diff?a=0", "/v1/diff?a=0&rule=R2", "/v1/revert?target=R1&to=1",
                     "/v1/rejections"):  # fmt: skip
            assert (await client.get(path)).status_code == 403, path
    assert (await server.store.head()).position == 5


async def test_rejected_files_are_listed_while_they_are(server: Server) -> None:
    file = {"source": "s", "path": "bad.yml"}
    said: Any = {**file, "sha256": "0" * 64, "reason": "no YAML", "line": 3}
    await server.store.append("source/s", [NewEvent("RuleRejected", said)])
    async with await server.client("read") as client:
        (found,) = (await client.get("/v1/rejections")).json()["rejections"]
        assert (found["path"], found["line"], found["reason"]) == ("bad.yml", 3, "no YAML")
        await server.store.append("source/s", [NewEvent("RejectionEnded", file)])
        assert (await client.get("/v1/rejections")).json() == {"rejections": []}
