"""Rules as tables: against a fold of its own, over random histories with strange events."""

from __future__ import annotations

import json
import string
import tempfile
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, create_engine, select
from support.examples import examples
from support.logs import LASTING, LOG_URLS
from support.master import fill, ttp
from support.rule_events import definition_data
from support.waiting import eventually

from eventstore import EventStore, NewEvent
from projections import ProjectionRunner
from projections.rules import RuleState, RuleStore, RuleSync
from projections.rules.expiry import StateExpiry
from projections.rules.model import encode_rule, encode_state
from projections.rules.sources.renaming import rename_source
from projections.rules.tables import (
    RuleTables,
    rejection_table,
    rule_table,
    state_table,
)
from projections.tables.columns import escape_nul

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Server

LETTERS = string.ascii_letters + string.digits
TABLES = (rule_table, rejection_table, state_table)
Rows = dict[str, list[dict[str, Any]]]


def rows(url: str) -> Rows:
    """Return every table as a reader of the database sees it."""

    def read(table: Table) -> list[dict[str, Any]]:
        query = select(table).order_by(*table.primary_key)
        return [dict(row) for row in connection.execute(query).mappings()]

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = {table.name: read(table) for table in TABLES}
    engine.dispose()
    return found


def definition(rule_id: str, name: Any, version: Any = 1) -> dict[str, Any]:
    """Return what a master writes, as long as name and version are what they should be."""
    return definition_data(
        rule_id, f"{name}.yml", rule_version=version, name=name, match_spec={"text": name}
    )


KEYS = st.sampled_from(["A", "B", "C"])
TEXTS = st.sampled_from(["one", "nul\0", "shown\\u0000", "back\\slash", "ünï", ""])
TIMES = st.sampled_from([None, "2031-01-01T00:00:00+00:00", "yesterday"])
STATES = st.builds(
    lambda state, limit, reason, until: {
        "state": {"state": state, "confidence_max": limit, "reason": reason, "expires_at": until}
    },
    st.sampled_from(["enabled", "disabled", "clipped", "asleep"]),
    st.sampled_from([None, 0, 0.25, 2**64 - 1, "high"]),
    st.one_of(st.none(), TEXTS),
    TIMES,
)
REJECTIONS = st.builds(
    lambda path, reason, line: {"path": path, "reason": reason, "line": line, "sha256": "00"},
    st.one_of(TEXTS, st.integers(0, 3)),
    TEXTS,
    st.sampled_from([None, 3, 2**64 - 1, "three", True]),
)
DEFINITIONS = st.builds(
    definition, KEYS, st.one_of(TEXTS, st.none()), st.sampled_from([1, 2**64 - 1, "1", None])
)
STRANGE: st.SearchStrategy[Any] = st.sampled_from(
    [{}, [], None, b"\0\xff", "text", {"rule": []}, {"state": "disabled"}]
)


def event(category: str, types: list[str], data: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give events of one category, some with data that no writer makes."""
    return st.tuples(
        st.builds(lambda key: category + key, KEYS), st.sampled_from(types), data | STRANGE
    )


HISTORIES = st.lists(
    st.one_of(
        event("rule/", ["RuleDefined", "RuleDefined", "RuleRemoved", "Other"], DEFINITIONS),
        event("rule-state/", ["RuleStateSet", "RuleStateExpired", "Other"], STATES),
        event("source/", ["RuleRejected", "RuleRejected", "RejectionEnded"], REJECTIONS),
        event("other/", ["RuleDefined", "RuleStateSet", "RuleRejected"], DEFINITIONS | STATES),
    ),
    max_size=30,
)


def standing_rejections(history: list[Any]) -> dict[tuple[str, str], bool]:
    """Say which files were ever rejected, and whether they still are: read from the end."""
    found: dict[tuple[str, str], bool] = {}
    ever = set()
    for stream, type_, data in reversed(history):
        if not stream.startswith("source/") or not isinstance(data, dict):
            continue
        if isinstance(path := data.get("path"), str):
            key = stream.removeprefix("source/"), escape_nul(path)
            found.setdefault(key, type_ == "RuleRejected")
            ever |= {key} if type_ == "RuleRejected" else set()
    return {key: stands for key, stands in found.items() if key in ever}


async def compare(log: str, views: str, history: list[Any]) -> Rows:
    async with EventStore.open(log, inline=[RuleTables()]) as store:
        for stream, type_, data in history:
            await store.append(stream, [NewEvent(type_, data)])
        runner = ProjectionRunner(store, RuleTables().at(views))
        await runner.catch_up()
        found = rows(log)
        assert rows(views) == found
        await runner.rebuild()
        assert rows(views) == found
        rules = RuleStore(store)
        loaded = {rule.rule_id: encode_rule(rule) for rule in await rules.load_compiled()}
        assert {row["rule_id"] for row in found["rule_state"]} <= {"A", "B", "C"}
        shown = {row["rule_id"]: json.loads(row["json"]) for row in found["rule_state"]}
        for key in ("A", "B", "C"):
            expected = encode_state(await rules.get_state(key))
            assert shown.get(key, encode_state(RuleState())) == expected
    exact = [json.loads(row["rule"]) for row in found["rule"]]
    assert {rule["rule_id"]: rule for rule in exact} == loaded
    rejections = {(row["source"], row["path"]): row["stands"] for row in found["rule_rejection"]}
    assert rejections == standing_rejections(history)
    assert "\0" not in "".join(str(v) for t in found.values() for row in t for v in row.values())
    return found


@pytest.mark.promise("projection")
@settings(max_examples=examples(30), deadline=None)
@given(HISTORIES)
def test_the_tables_say_what_the_rule_store_says_inline_followed_and_rebuilt(
    history: list[Any],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log, views = (f"sqlite:///{folder}/{name}.db" for name in ("log", "views"))
        anyio.run(compare, log, views, history)


@pytest.mark.slow
@pytest.mark.promise("projection")
@settings(max_examples=examples(10), deadline=None)
@given(HISTORIES)
def test_the_tables_are_the_same_on_postgresql(postgres: Server, history: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log, views = (f"sqlite:///{folder}/{name}.db" for name in ("log", "views"))
        there = anyio.run(compare, postgres.fresh_schema(), postgres.fresh_schema(), history)
        assert without_times(there) == without_times(anyio.run(compare, log, views, history))


def without_times(tables: Rows) -> Rows:
    """Leave out when events were recorded, which differs from log to log."""
    return {
        name: [
            {k: v for k, v in row.items() if k not in {"defined_at", "rejected_at"}} for row in t
        ]
        for name, t in tables.items()
    }


@given(st.text(alphabet="\0\\u0x", max_size=12), st.text(alphabet="\0\\u0x", max_size=12))
def test_escaping_keeps_different_texts_different(one: str, other: str) -> None:
    assert "\0" not in escape_nul(one)
    assert (escape_nul(one) == escape_nul(other)) == (one == other)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", LASTING)
async def test_a_rejection_is_told_with_its_place_and_ends(tmp_path: Path, kind: str) -> None:
    root = fill(tmp_path / "rules", {"a.yml": ttp("A"), "b.yml": "rule_id: [\n"})
    log = LOG_URLS[kind](tmp_path)
    async with EventStore.open(log, inline=[RuleTables()]) as store:
        master = RuleSync(store, root, source="main")
        await master.sync_once()
        (rule,), (rejection,) = rows(log)["rule"], rows(log)["rule_rejection"]
        assert (rule["rule_id"], rule["path"], rule["source"]) == ("A", "a.yml", "main")
        assert (rejection["source"], rejection["path"]) == ("main", "b.yml")
        assert (rejection["stands"], rejection["ended_position"]) == (True, None)
        assert rejection["reason"]
        (root / "b.yml").write_text(ttp("B"))
        await master.sync_once()
        (rejection,) = rows(log)["rule_rejection"]
        assert not rejection["stands"]
        assert rejection["ended_position"] == (await store.head()).position


@pytest.mark.anyio
@pytest.mark.parametrize("kind", LASTING)
async def test_a_state_that_expires_is_back_to_the_default(tmp_path: Path, kind: str) -> None:
    log = LOG_URLS[kind](tmp_path)
    past = {"state": {"state": "disabled", "expires_at": "2020-01-01T00:00:00+00:00"}}
    async with EventStore.open(log, inline=[RuleTables()]) as store:
        await store.append("rule-state/A", [NewEvent("RuleStateSet", past)])
        assert [row["state"] for row in rows(log)["rule_state"]] == ["disabled"]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(StateExpiry(store).run)

            async def ended() -> bool:
                return (await store.head()).position == 2

            await eventually(ended)
            tasks.cancel_scope.cancel()
        (row,) = rows(log)["rule_state"]
    assert (row["state"], row["expires_at"], row["position"]) == ("enabled", None, 2)


@pytest.mark.promise("bad-input")
@pytest.mark.anyio
@pytest.mark.parametrize("kind", LASTING)
async def test_the_longest_path_is_a_key_like_any_other(tmp_path: Path, kind: str) -> None:
    log, source = LOG_URLS[kind](tmp_path), "source/" + "s" * 1000
    paths = ["".join(Random(seed).choices(LETTERS, k=4000)) for seed in (1, 2)]
    paths += [paths[0][:-1] + "!", "x\0" * 1500]
    async with EventStore.open(log, inline=[RuleTables()]) as store:
        for path in (*paths, *paths):
            data = {"path": path, "reason": "too long", "sha256": ""}
            await store.append(source, [NewEvent("RuleRejected", data)])
        assert len(rows(log)["rule_rejection"]) == len(paths)
        await store.append(source, [NewEvent("RejectionEnded", {"path": paths[1]})])
        stands = [row["stands"] for row in rows(log)["rule_rejection"]]
    assert sorted(stands) == [False, True, True, True]


@pytest.mark.anyio
async def test_tables_follow_renamed_sources_and_redacted_claims(tmp_path: Path) -> None:
    """Whether inline, followed or rebuilt; what a claim held is nowhere in them."""
    log, views = (f"sqlite:///{tmp_path}/{name}.db" for name in ("log", "views"))
    fill(tmp_path / "one", {"a.yml": ttp("A", "of one"), "bad.yml": "- nonsense\n"})
    fill(tmp_path / "two", {"a.yml": ttp("A", "secret of two"), "c.yml": ttp("C")})
    async with EventStore.open(log, inline=[RuleTables()]) as store:
        for source in ("one", "two"):
            await RuleSync(store, tmp_path / source, source=source).sync_once()
        runner = ProjectionRunner(store, RuleTables().at(views))
        await runner.catch_up()
        assert {row["source"] for row in rows(log)["rule_rejection"]} == {"one", "two"}
        await rename_source(store, "one", "renamed")
        claims = store.read(streams="source/two", types={"RuleRejected"})
        (claim,) = [event.position async for event in claims]
        await store.redact(claim, "a request")
        await runner.catch_up()
        found = rows(log)
        assert [(row["source"], row["path"]) for row in found["rule_rejection"]] == [
            ("renamed", "bad.yml")
        ]
        assert {row["rule_id"]: row["source"] for row in found["rule"]} == {
            "A": "renamed",
            "C": "two",
        }
        assert rows(views) == found
        await runner.rebuild()
        assert rows(views) == found
        assert "secret of two" not in str(found)
        (tmp_path / "one" / "a.yml").unlink()
        await RuleSync(store, tmp_path / "one", source="renamed").sync_once()
        # The claim is gone with its definition: the next look at its directory defines the rule.
        await RuleSync(store, tmp_path / "two", source="two").sync_once()
        await runner.catch_up()
        assert rows(views) == rows(log)
        assert [row["source"] for row in rows(log)["rule"]] == ["two", "two"]
