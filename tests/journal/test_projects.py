"""Projects: made, changed, listed, deleted with all they have."""

from __future__ import annotations

import inspect
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.journals import PROJECT, entry, fill
from support.signatures import same_signatures

from eventstore import EventStore, InvalidInputError, StoreClosedError
from eventstore.errors import ConfigError
from eventstore.testing import START_US
from projections.journal import Journal, JournalProtocol, JournalTables, UnknownProjectError

if TYPE_CHECKING:
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio

DOC: dict[str, Any] = {
    "doc": "PLAN.md", "section": None, "action": "append", "agent": "ana",
    "metadata": {"lines": [1, 2.5], "empty": {}}, "sha_before": None, "sha_after": "b" * 64,
}  # fmt: skip
CARD: dict[str, Any] = {
    "file_path": "cards/ana.md", "agent_name": "ana", "stage": None, "overall_grade": 93.5,
    "performance_level": "high", "metadata": None,
}  # fmt: skip


async def test_a_project_is_made_and_found(journal: Journal) -> None:
    made = await journal.upsert_project(**PROJECT)
    at = datetime.fromtimestamp(START_US / 1e6, UTC)
    newer = {"docs_json": None, "bridge_id": None, "bridge_managed": False}
    assert asdict(made) == {"id": 1, **PROJECT, "created_at": at, "updated_at": at, **newer}
    assert await journal.fetch_project("p") == made
    assert await journal.list_projects() == [made]


async def test_an_unknown_project_is_none(journal: Journal) -> None:
    assert await journal.fetch_project("nobody") is None
    assert await journal.fetch_project_metrics("nobody") is None
    assert await journal.list_projects() == []


async def test_an_upsert_changes_what_it_says_and_keeps_the_rest(
    journal: Journal, clock: FakeClock
) -> None:
    await fill(journal, 2)
    first = await journal.fetch_project("p")
    assert first is not None
    clock.now_us += 5_000_000
    again = await journal.upsert_project(name="p", repo_root=Path("/new"), progress_log_path="")
    assert (again.id, again.created_at) == (first.id, first.created_at)
    assert (again.repo_root, again.progress_log_path) == ("/new", "")
    assert (again.updated_at - first.updated_at).total_seconds() == 5
    assert await journal.fetch_project_metrics("p") == (2, 2, 0, 0)


async def test_projects_are_listed_by_name(journal: Journal) -> None:
    for name in ("b", "a/1", "Z", "é", "\0", "a%", "a b"):
        await journal.upsert_project(name=name, repo_root="", progress_log_path="")
    names = [project.name for project in await journal.list_projects()]
    assert names == ["\0", "Z", "a b", "a%", "a/1", "b", "é"]


@pytest.mark.parametrize("name", ["", None, 3, "x" * 256, "\ud800"])
async def test_what_cannot_be_a_name_is_refused(journal: Journal, name: Any) -> None:
    with pytest.raises(InvalidInputError):
        await journal.upsert_project(name=name, repo_root="", progress_log_path="")
    with pytest.raises(InvalidInputError):
        await journal.insert_entry(**entry(1, name))
    assert await journal.position() == 0


async def test_a_deleted_project_has_nothing_left(journal: Journal) -> None:
    await fill(journal, 3)
    await journal.upsert_project(name="other", repo_root="", progress_log_path="")
    await journal.insert_entry(**entry(9, "other"))
    await journal.record_doc_change("p", **DOC)
    await journal.record_agent_report_card("p", **CARD)
    await journal.set_agent_project("ana", "p", None, "ana", None)
    await journal.set_agent_project("bo", "other", None, "ana", None)
    assert await journal.delete_project("p") is True
    assert await journal.delete_project("p") is False
    assert await journal.fetch_project("p") is None
    assert await journal.fetch_recent_entries(project="p", limit=9) == []
    assert await journal.count_entries("p") == 0
    assert await journal.count_query_entries(project="p", message="m") == 0
    assert await journal.list_doc_changes("p") == []
    assert await journal.list_agent_report_cards("p") == []
    assert await journal.get_agent_project("ana") is None
    assert await journal.count_entries("other") == 1
    assert await journal.get_agent_project("bo") is not None


async def test_a_project_that_is_made_again_begins_anew(journal: Journal) -> None:
    await fill(journal, 3)
    first = await journal.fetch_project("p")
    await journal.delete_project("p")
    await fill(journal, 2)
    second = await journal.fetch_project("p")
    assert first is not None
    assert second is not None
    assert second.id > first.id
    # The ids of its entries were known before, and are free again.
    assert await journal.count_entries("p", {"agent": "ana"}) == 2
    assert await journal.fetch_project_metrics("p") == (2, 2, 0, 0)
    assert await journal.delete_project(second) is True
    await fill(journal, 1)
    assert await journal.count_entries("p", {"agent": "ana"}) == 1


async def test_entries_of_a_deleted_project_come_again_from_another_process(
    lasting_url: str,
) -> None:
    for by in ("one", "two", "three"):
        async with Journal(lasting_url, by=by) as journal:
            await fill(journal, 2)
            assert await journal.count_entries("p", {"agent": "ana"}) == 2
            await journal.delete_project("p")


async def test_of_many_that_delete_a_project_at_once_one_does(lasting_url: str) -> None:
    async with Journal(lasting_url, by="one") as one, Journal(lasting_url, by="two") as two:
        await fill(one, 1)
        done: list[bool] = []

        async def delete(journal: Journal) -> None:
            done.append(await journal.delete_project("p"))

        async with anyio.create_task_group() as tasks:
            for journal in (one, two) * 4:
                tasks.start_soon(delete, journal)
        assert sorted(done) == [False] * 7 + [True]


async def test_writing_to_an_unknown_project_names_it(journal: Journal) -> None:
    await fill(journal, 1)
    await journal.delete_project("p")
    for name in ("p", "never"):
        with pytest.raises(UnknownProjectError) as caught:
            await journal.insert_entry(**entry(5, name))
        assert caught.value.project == name
        with pytest.raises(UnknownProjectError):
            await journal.record_doc_change(name, **DOC)
        with pytest.raises(UnknownProjectError):
            await journal.record_agent_report_card(name, **CARD)
    assert await journal.position() == 3


async def test_documents_are_listed_newest_first_as_they_were_recorded(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    for number in range(3):
        await journal.record_doc_change("p", **{**DOC, "action": f"action {number}"})
        await journal.record_agent_report_card("p", **{**CARD, "overall_grade": number})
    at = datetime.fromtimestamp(START_US / 1e6, UTC).isoformat()
    assert await journal.list_doc_changes("p", limit=2) == [
        {**DOC, "action": f"action {number}", "at": at} for number in (2, 1)
    ]
    cards = await journal.list_agent_report_cards("p")
    assert cards == [{**CARD, "overall_grade": number, "at": at} for number in (2, 1, 0)]
    assert type(cards[0]["overall_grade"]) is int


async def test_setup_may_be_called_twice_and_nothing_works_without(url: str) -> None:
    journal = Journal(url)
    with pytest.raises(StoreClosedError):
        await journal.fetch_project("p")
    await journal.setup()
    await journal.setup()
    await journal.upsert_project(**PROJECT)
    await journal.close()
    await journal.close()
    with pytest.raises(StoreClosedError):
        await journal.list_projects()


async def test_an_open_store_is_used_and_left_open(url: str) -> None:
    async with EventStore.open(url, inline=[JournalTables()]) as store:
        async with Journal(store) as journal:
            await journal.upsert_project(**PROJECT)
            await journal.upsert_agent_session("ana", "s", None)
            await journal.heartbeat_session("s")
        assert (await store.head()).position == 2
    async with EventStore.open("memory://") as bare:
        with pytest.raises(ConfigError, match="JournalTables"):
            Journal(bare)


def test_it_has_the_shape_of_the_protocol() -> None:
    assert isinstance(Journal("memory://"), JournalProtocol)
    same_signatures(JournalProtocol, Journal, methods=26)


INTERFACE = {
    "upsert_project": (
        "(*, name, repo_root, progress_log_path, docs_json=None, bridge_id=None, "
        "bridge_managed=False)"
    ),
    "fetch_project": "(name, *, repo_root=None, project_key=None)",
    "list_projects": "()",
    "delete_project": "(name)",
    "insert_entry": (
        "(*, entry_id, project, ts, emoji, agent, message, meta, raw_line, sha256, "
        "priority=None, category=None, tags=None, confidence=None, log_type=None)"
    ),
    "fetch_recent_entries": "(*, project, limit, filters=None, offset=0, as_of=None)",
    "fetch_recent_entries_paginated": (
        "(*, project, page=1, page_size=50, filters=None, as_of=None)"
    ),
    "count_entries": "(project, filters=None)",
    "query_entries": (
        "(*, project, limit, offset=0, as_of=None, start=None, end=None, agents=None, "
        "emojis=None, message=None, message_mode='substring', case_sensitive=False, "
        "meta_filters=None)"
    ),
    "query_entries_paginated": (
        "(*, project, page=1, page_size=50, as_of=None, start=None, end=None, agents=None, "
        "emojis=None, message=None, message_mode='substring', case_sensitive=False, "
        "meta_filters=None)"
    ),
    "count_query_entries": (
        "(*, project, start=None, end=None, agents=None, emojis=None, message=None, "
        "message_mode='substring', case_sensitive=False, meta_filters=None)"
    ),
    "record_doc_change": (
        "(project, *, doc, section, action, agent, metadata, sha_before, sha_after)"
    ),
    "record_agent_report_card": (
        "(project, *, file_path, agent_name, stage, overall_grade, performance_level, metadata)"
    ),
    "upsert_agent_session": "(agent_id, session_id, metadata)",
    "heartbeat_session": "(session_id)",
    "end_session": "(session_id)",
    "get_agent_project": "(agent_id)",
    "set_agent_project": ("(agent_id, project_name, expected_version, updated_by, session_id)"),
}


def test_the_interface_is_what_its_callers_know() -> None:
    for name, expected in INTERFACE.items():
        signature = inspect.signature(getattr(Journal, name))
        bare = [
            one.replace(annotation=inspect.Parameter.empty)
            for one in list(signature.parameters.values())[1:]
        ]
        assert str(inspect.Signature(bare)) == expected, name
