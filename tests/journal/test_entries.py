"""Entries: inserted once, checked, counted, and given back exactly."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import anyio
import pytest
from support.journals import PROJECT, START, checksum, entry, fill, ids

from eventstore import EventStore, InvalidInputError
from projections.journal import ChecksumError, EntryConflictError, Journal, UnknownProjectError
from projections.journal.model import OUTCOMES

pytestmark = pytest.mark.anyio


async def test_an_entry_is_seen_at_once_and_exactly(journal: Journal) -> None:
    await fill(journal, 1)
    assert await journal.fetch_recent_entries(project="p", limit=5) == [
        {
            "id": "e0",
            "ts": START.isoformat(),
            "emoji": "✅",
            "agent": "ana",
            "message": "message 0",
            "meta": {"number": 0},
            "raw_line": "[✅] message 0",
        }
    ]


async def test_newest_first_is_by_time_and_then_by_order_of_insertion(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    west = timezone(timedelta(hours=-5))
    times = {
        "a": START,
        "b": (START + timedelta(seconds=1)).astimezone(west),
        "c": START.replace(tzinfo=None),
        "d": "2026-03-01T13:00:00.000001+01:00",
        "e": START - timedelta(days=400),
        "f": "2026-03-01T12:00:00Z",
    }
    for name, ts in times.items():
        await journal.insert_entry(**entry(0, entry_id=name, ts=ts))
    found = await journal.fetch_recent_entries(project="p", limit=9)
    assert ids(found) == ["b", "d", "f", "c", "a", "e"]
    assert {one["id"]: one["ts"] for one in found} == {
        name: ts.isoformat() if isinstance(ts, datetime) else ts for name, ts in times.items()
    }


async def test_the_same_entry_again_changes_nothing(journal: Journal) -> None:
    await fill(journal, 2)
    before = await journal.position()
    for number in (1, 0):
        await journal.insert_entry(**entry(number))
    assert await journal.position() == before
    assert await journal.fetch_project_metrics("p") == (2, 2, 0, 0)


async def test_the_same_entry_from_another_process_changes_nothing(lasting_url: str) -> None:
    async with Journal(lasting_url, by="one") as journal:
        await fill(journal, 1)
    async with Journal(lasting_url, by="two") as journal:
        await journal.insert_entry(**entry(0))
        assert await journal.position() == 2


@pytest.mark.promise("journal")
async def test_of_many_that_insert_one_entry_at_once_one_does(lasting_url: str) -> None:
    async with Journal(lasting_url, by="one") as one, Journal(lasting_url, by="two") as two:
        await one.upsert_project(**PROJECT)
        async with anyio.create_task_group() as tasks:
            for journal in (one, two) * 5:
                tasks.start_soon(partial(journal.insert_entry, **entry(0)))
        assert await two.position() == 2
        assert await two.fetch_project_metrics("p") == (1, 1, 0, 0)


@pytest.mark.promise("journal")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message", "another"),
        ("ts", START),
        ("emoji", None),
        ("agent", "bo"),
        ("meta", {"number": 7.0}),
        ("raw_line", "another"),
    ],
)
async def test_another_entry_of_the_same_id_is_a_conflict(
    journal: Journal, field: str, value: Any
) -> None:
    await fill(journal, 0)
    await journal.insert_entry(**entry(7))
    before = await journal.position()
    with pytest.raises(EntryConflictError) as caught:
        await journal.insert_entry(**entry(7, **{field: value}))
    assert (caught.value.entry_id, caught.value.fields) == ("e7", (field,))
    assert await journal.position() == before


async def test_an_id_belongs_to_one_project(journal: Journal) -> None:
    await fill(journal, 1)
    await journal.upsert_project(name="q", repo_root="", progress_log_path="")
    with pytest.raises(EntryConflictError) as caught:
        await journal.insert_entry(**entry(0, "q"))
    assert caught.value.fields == ("project",)


@pytest.mark.promise("journal")
async def test_a_line_that_is_not_its_checksum_is_refused(journal: Journal) -> None:
    await fill(journal, 0)
    with pytest.raises(ChecksumError) as caught:
        await journal.insert_entry(**entry(0, sha256=checksum("another")))
    error = caught.value
    assert (error.entry_id, error.expected) == ("e0", checksum("another"))
    assert error.actual == checksum("[✅] message 0")
    with pytest.raises(ChecksumError):
        await journal.insert_entry(**entry(0, sha256=""))
    assert await journal.position() == 1
    await journal.insert_entry(**entry(0, sha256=checksum("[✅] message 0").upper()))
    assert await journal.count_entries("p") == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("entry_id", ""),
        ("entry_id", "a\0b"),
        ("entry_id", "x" * 201),
        ("ts", "yesterday"),
        ("ts", None),
        ("message", None),
        ("message", b"bytes"),
        ("agent", "x" * 256),
        ("emoji", 3),
        ("meta", ["a list"]),
        ("meta", {"nan": float("nan")}),
        ("meta", {"when": START}),
        ("meta", {1: "key"}),
    ],
)
async def test_what_cannot_be_kept_exactly_is_refused(
    journal: Journal, field: str, value: Any
) -> None:
    await fill(journal, 0)
    with pytest.raises(InvalidInputError):
        await journal.insert_entry(**entry(0, **{field: value}))
    assert await journal.position() == 1


async def test_metrics_tell_outcomes_by_emoji(journal: Journal) -> None:
    await fill(journal, 0)
    for number, emoji in enumerate(["✅", "⚠️", "⚠", "❌", "❌\ufe0f", "🧭", "", None, "✔️"]):
        await journal.insert_entry(**entry(number, emoji=emoji))
    assert await journal.fetch_project_metrics("p") == (9, 2, 2, 2)
    assert {"✅": "success", "⚠": "warn", "❌": "error"}.items() <= OUTCOMES.items()


async def test_absent_is_not_empty(journal: Journal) -> None:
    await fill(journal, 0)
    for number, nothing in enumerate([None, ""]):
        meta: dict[str, Any] | None = None if nothing is None else {}
        await journal.insert_entry(**entry(number, agent=nothing, emoji=nothing, meta=meta))
    empty, absent = await journal.fetch_recent_entries(project="p", limit=2)
    assert (empty["agent"], empty["emoji"], empty["meta"]) == ("", "", {})
    assert (absent["agent"], absent["emoji"], absent["meta"]) == (None, None, None)


async def test_what_is_returned_is_the_callers_own(journal: Journal) -> None:
    await fill(journal, 0)
    given = entry(0, meta={"list": [1]})
    await journal.insert_entry(**given)
    given["meta"]["list"].append(2)
    (found,) = await journal.fetch_recent_entries(project="p", limit=1)
    found["meta"]["list"].append(3)
    (again,) = await journal.fetch_recent_entries(project="p", limit=1)
    assert again["meta"] == {"list": [1]}


async def test_reading_appends_nothing(journal: Journal) -> None:
    await fill(journal, 3)
    before = await journal.position()
    await journal.fetch_recent_entries_paginated(project="p", page=2, page_size=1)
    await journal.query_entries(project="p", limit=2, message="m")
    await journal.count_entries("p")
    await journal.get_agent_project("ana")
    await journal.heartbeat_session("nobody")
    assert await journal.position() == before


async def test_an_entry_whose_project_goes_meanwhile_goes_with_it(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, 0)
    append = journal._append

    async def delete_first(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(journal, "_append", append)
        await journal.delete_project("p")
        return await append(*args, **options)

    monkeypatch.setattr(journal, "_append", delete_first)
    await journal.insert_entry(**entry(0))
    with pytest.raises(UnknownProjectError):
        await journal.insert_entry(**entry(0))
    await fill(journal, 1)
    assert ids(await journal.fetch_recent_entries(project="p", limit=5)) == ["e0"]
    assert await journal.fetch_project_metrics("p") == (1, 1, 0, 0)


async def test_a_redacted_entry_is_gone_and_no_longer_counted(url: str) -> None:
    from projections.journal import JournalTables

    async with EventStore.open(url, inline=[JournalTables()]) as store:
        journal = Journal(store)
        await fill(journal, 3)
        await store.redact(3, "a secret")
        assert ids(await journal.fetch_recent_entries(project="p", limit=5)) == ["e2", "e0"]
        assert await journal.count_entries("p", {"meta.number": 1}) == 0
        assert await journal.fetch_project_metrics("p") == (2, 2, 0, 0)
        assert len([change async for change in journal.history("p")]) == 3
