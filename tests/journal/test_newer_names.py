"""What newer programs call: more fields of entries and projects, single entries, activity."""

from __future__ import annotations

from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.journals import PROJECT, entry, ids
from support.waiting import take

from eventstore import EventStore, InvalidInputError
from projections import ProjectionRunner
from projections.journal import EntryConflictError, Journal, JournalTables

if TYPE_CHECKING:
    from eventstore.testing import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.promise("journal")]

MORE: dict[str, Any] = {
    "priority": "high",
    "category": "bug",
    "tags": ["a", "b"],
    "confidence": 0.5,
    "log_type": "progress",
}


async def recent(journal: Journal, **filters: Any) -> set[str]:
    """Return which entries a filter finds, and check that the count is the same."""
    given = {name.replace("__", "."): value for name, value in filters.items()}
    found = await journal.fetch_recent_entries(project="p", limit=99, filters=given)
    assert await journal.count_entries("p", given) == len(found)
    return set(ids(found))


async def test_the_newer_fields_are_stored_returned_and_filtered(journal: Journal) -> None:
    project = await journal.upsert_project(**PROJECT)
    named: Any = SimpleNamespace(name=project.name)
    await journal.insert_entry(**entry(1, project=named), **MORE)
    await journal.insert_entry(**entry(2), priority="low", tags="a")
    await journal.insert_entry(**entry(3))
    await journal.insert_entry(**entry(1), **MORE)
    with pytest.raises(EntryConflictError, match="priority"):
        await journal.insert_entry(**entry(1), **{**MORE, "priority": "low"})
    third, second, first = await journal.fetch_recent_entries(project="p", limit=9)
    assert {name: first[name] for name in MORE} == MORE
    assert {name: second[name] for name in MORE} == {
        **dict.fromkeys(MORE), "priority": "low", "tags": "a"
    }  # fmt: skip
    assert not MORE.keys() & third.keys()
    everything = {"e1", "e2", "e3"}
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"priority": "high"}, {"e1"}), ({"priority": ["high", "low"]}, {"e1", "e2"}),
        ({"priority": None}, everything), ({"priority": []}, everything),
        ({"category": "bug", "log_type": "progress"}, {"e1"}), ({"confidence": 0.5}, {"e1"}),
        ({"tags": "a"}, {"e1", "e2"}), ({"tags": ["a", "b"]}, {"e1", "e2"}),
        ({"tags": ("b",), "priority": "low"}, set()), ({"agent": "", "emoji": []}, everything),
        ({"meta__priority": "high"}, set()),
    ]  # fmt: skip
    for filters, wanted in cases:
        assert await recent(journal, **filters) == wanted, filters


async def test_a_filter_reaches_into_objects_where_no_key_is_like_it(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    metas: list[dict[str, Any]] = [
        {"a": {"b": 1}}, {"a.b": 1}, {"a.b": 2, "a": {"b": 1}}, {"a": {"b": {"c": "x"}}},
        {"a": [{"b": 1}]}, {"a": "b"}, {"a": {"b": "1"}}, {"a": {"b": None}}, {"a": {"b.c": "x"}},
    ]  # fmt: skip
    for number, meta in enumerate(metas):
        await journal.insert_entry(**entry(number, meta=meta, message=f"m{number}"))
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"a.b": 1}, {"e0", "e1"}), ({"a.b": 2}, {"e2"}), ({"a.b": "1"}, {"e0", "e1", "e6"}),
        ({"a.b.c": "x"}, {"e3"}), ({"a.b": {"c": "x"}}, {"e3"}), ({"a.b.": 1}, set()),
        ({"a": {"b": 1}}, {"e0", "e2"}), ({"a.b": 1, "a": {"b": 1}}, {"e0"}),
    ]  # fmt: skip
    for wanted, expected in cases:
        found = await journal.query_entries(project="p", limit=9, meta_filters=wanted)
        assert set(ids(found)) == expected, wanted
        assert await journal.count_query_entries(project="p", meta_filters=wanted) == len(expected)
    both: dict[str, Any] = {
        "meta_filters": {"a.b": "1"},
        "message": "m[06]",
        "message_mode": "regex",
    }
    pages = [
        await journal.query_entries_paginated(project="p", page=page, page_size=1, **both)
        for page in (1, 2)
    ]
    assert [(ids(found), total) for found, total in pages] == [(["e6"], 2), (["e0"], 2)]


async def test_the_metadata_of_an_entry_is_set_anew(journal: Journal) -> None:
    project = await journal.upsert_project(**PROJECT)
    await journal.upsert_project(**{**PROJECT, "name": "q"})
    await journal.insert_entry(**entry(1, meta={"old": 1, "kept": {"x": 1}}), priority="high")
    changes = journal.subscribe_changes("p")
    new = MappingProxyType({"new": MappingProxyType({"y": 2})})
    assert await journal.update_entry_meta(entry_id="e1", project=project, meta=new) is True
    assert await journal.update_entry_meta(entry_id="e2", project="p", meta={}) is False
    assert await journal.update_entry_meta(entry_id="e1", project="q", meta={}) is False
    assert await recent(journal, meta__old=1) == await recent(journal, meta__kept__x=1) == set()
    assert await recent(journal, meta__new__y=2) == await recent(journal, priority="high") == {"e1"}
    found = await journal.fetch_entry_by_id(entry_id="e1")
    assert found is not None
    assert (found["meta"], found["priority"], found["project_name"]) == (
        {"new": {"y": 2}}, "high", "p"
    )  # fmt: skip
    _, change = await take(changes, 2)
    assert (change.kind, change.value) == ("entry_meta", {"entry_id": "e1", "meta": found["meta"]})
    # The same entry as at first is still the same, another one is not.
    await journal.insert_entry(**entry(1, meta={"old": 1, "kept": {"x": 1}}), priority="high")
    with pytest.raises(EntryConflictError, match="meta"):
        await journal.insert_entry(**entry(1, meta={"old": 2}), priority="high")
    assert await journal.fetch_entry_by_id(entry_id="e1", repo_id=project.repo_id) == found
    assert await journal.fetch_entry_by_id(entry_id="e1", project_name="q") is None
    assert await journal.fetch_entry_by_id(entry_id="e1", repo_id="another") is None
    assert await journal.fetch_entry_by_id(entry_id="gone") is None
    await journal.log.redact(change.position, reason="wrong")
    again = await journal.fetch_entry_by_id(entry_id="e1")
    assert again is not None
    assert again["meta"] == {"old": 1, "kept": {"x": 1}}


async def test_projects_have_documents_a_bridge_and_a_repository(journal: Journal) -> None:
    made = await journal.upsert_project(
        **PROJECT, docs_json={"log": "LOG.md"}, bridge_id="b", bridge_managed=True
    )
    assert (made.docs_json, made.bridge_id, made.bridge_managed) == ({"log": "LOG.md"}, "b", True)
    again = await journal.upsert_project(**PROJECT)
    assert (again.docs_json, again.bridge_id, again.bridge_managed) == (
        {"log": "LOG.md"}, None, False
    )  # fmt: skip
    assert await journal.update_project_docs("p", '{"as": "text"}') is True
    assert await journal.update_project_docs("gone", {}) is False
    assert await journal.update_project_docs("p", {}, repo_root="/elsewhere") is False
    found = await journal.fetch_project("p", repo_root=f"{PROJECT['repo_root']}/")
    assert found is not None
    assert found.docs_json == '{"as": "text"}'
    assert await journal.fetch_project("any", project_key=found.project_key) == found
    assert await journal.fetch_project("p", project_key="pk_other") is None
    assert await journal.fetch_project("p", repo_root="/elsewhere") is None
    other = await journal.upsert_project(**{**PROJECT, "name": "q", "repo_root": "/elsewhere"})
    assert await journal.list_projects_by_repo("/elsewhere/.") == [other]
    assert await journal.list_projects_by_repo(PROJECT["repo_root"]) == [found]
    assert await journal.list_projects() == [found, other]
    await journal.delete_project("p")
    bare = await journal.upsert_project(**PROJECT)
    assert (bare.docs_json, bare.bridge_id, bare.bridge_managed) == (None, None, False)
    with pytest.raises(InvalidInputError):
        await journal.upsert_project(**PROJECT, bridge_managed=1)  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError):
        await journal.count_entries(SimpleNamespace(name=5))


async def test_the_tools_of_a_session_cost_no_event(journal: Journal, clock: FakeClock) -> None:
    assert await journal.get_session_activity("s") is None
    head = (await journal.log.head()).position
    await journal.update_session_activity("s", "query", "2026-01-01T00:00:00Z")
    await journal.update_session_activity("s", "append/entry", "2026-01-01T00:00:02+00:00")
    await journal.update_session_activity("s/2", "read", None)
    await journal.update_session_activity("s", "query", "2025-01-01T00:00:00Z")
    assert await journal.get_session_activity("s") == {
        "session_id": "s",
        "last_activity_at": "2026-01-01T00:00:02+00:00",
        "last_tool": "append/entry",
        "recent_tools": ["append/entry", "query"],
    }
    assert (await journal.log.head()).position == head
    with pytest.raises(InvalidInputError):
        await journal.update_session_activity("s", "", "never")


async def test_a_rebuild_gives_the_same_of_all_of_it(lasting_url: str) -> None:
    async with Journal(lasting_url) as journal:
        await journal.upsert_project(**PROJECT, docs_json={"log": 1})
        await journal.update_project_docs("p", ["log", 2])
        await journal.insert_entry(**entry(1, meta={"a": 1}), **MORE)
        await journal.insert_entry(**entry(2), category="bug")
        await journal.update_entry_meta(entry_id="e1", project="p", meta={"a": {"b": 2}})

        async def everything() -> list[Any]:
            return [
                await journal.list_projects(),
                await journal.fetch_recent_entries(project="p", limit=9),
                await recent(journal, category="bug"),
                await recent(journal, meta__a__b=2),
            ]

        before = await everything()
        view = JournalTables().at(lasting_url)
        async with EventStore.open(lasting_url) as store:
            await ProjectionRunner(store, view).rebuild()
        assert await everything() == before
        assert before[2:] == [{"e1", "e2"}, {"e1"}]
