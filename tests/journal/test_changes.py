"""Changes: followed, and read from the beginning; tables rebuilt from them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import create_engine, text
from support.journals import PROJECT, entry, fill
from support.logs import LOG_URLS
from support.waiting import collect, take

from eventstore import EventStore, NewEvent, ProjectionError
from eventstore.log.clock import from_microseconds
from projections import ProjectionRunner
from projections.journal import Journal, JournalChange, JournalTables
from projections.journal.tables import JournalTables as Tables
from projections.journal.tables import entries, stated

if TYPE_CHECKING:
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


async def do_everything(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    await journal.insert_entry(**entry(1))
    await journal.record_doc_change(
        "p", doc="d", section=None, action="a", agent=None, metadata=None, sha_before=None,
        sha_after=None,
    )  # fmt: skip
    await journal.record_agent_report_card(
        "p", file_path="f", agent_name="ana", stage="s", overall_grade=1, performance_level=None,
        metadata={"x": 1},
    )  # fmt: skip
    await journal.upsert_agent_session("ana", "s", {})
    await journal.heartbeat_session("s")
    await journal.end_session("s")
    await journal.set_agent_project("ana", "p", None, "bo", "s")
    await journal.delete_project("p")


ENTRY = {
    "id": "e1",
    "ts": "2026-03-01T12:00:01+00:00",
    "emoji": "✅",
    "agent": "ana",
    "message": "message 1",
    "meta": {"number": 1},
    "raw_line": "[✅] message 1",
}
CARD = {
    "file_path": "f",
    "agent_name": "ana",
    "stage": "s",
    "overall_grade": 1,
    "performance_level": None,
    "metadata": {"x": 1},
}


def expected(clock: FakeClock) -> list[JournalChange]:
    at = from_microseconds(clock.now_us)
    told: list[tuple[str, str, Any, str]] = [
        ("project", "p", PROJECT, "tests"),
        (
            "entry",
            "p",
            ENTRY,
            "tests",
        ),
        (
            "doc_change",
            "p",
            {"doc": "d", "action": "a"}
            | dict.fromkeys(("section", "agent", "metadata", "sha_before", "sha_after")),
            "tests",
        ),
        (
            "report_card",
            "p",
            CARD,
            "tests",
        ),
        ("session", "s", {"agent_id": "ana", "session_id": "s", "metadata": {}}, "tests"),
        ("session", "s", None, "tests"),
        (
            "assignment",
            "ana",
            {
                "agent_id": "ana",
                "project_name": "p",
                "version": 1,
                "updated_at": at.isoformat(),
                "updated_by": "bo",
                "session_id": "s",
            },
            "bo",
        ),
        ("project", "p", None, "tests"),
    ]
    return [
        JournalChange(kind, key, value, position, at, by)
        for position, (kind, key, value, by) in enumerate(told, 1)
    ]


async def test_every_change_is_told_in_order(journal: Journal, clock: FakeClock) -> None:
    changes = journal.subscribe_changes()
    await do_everything(journal)
    assert await take(changes, 8) == expected(clock)
    assert await collect(journal.history()) == expected(clock)


async def test_one_project_is_followed_alone(journal: Journal, clock: FakeClock) -> None:
    await do_everything(journal)
    await journal.upsert_project(name="q", repo_root="", progress_log_path="")
    kinds = [(change.kind, change.key) for change in await collect(journal.history("p"))]
    assert kinds == [(change.kind, change.key) for change in expected(clock) if change.key == "p"]
    assert len(await collect(journal.history("q"))) == 1
    assert await collect(journal.history("never")) == []


async def test_following_goes_on_from_what_was_read(journal: Journal) -> None:
    await fill(journal, 2)
    await journal.fetch_recent_entries(project="p", limit=2)
    changes = journal.subscribe_changes("p")
    await journal.insert_entry(**entry(2))
    (change,) = await take(changes, 1)
    assert change.value is not None
    assert change.value["id"] == "e2"
    assert len(await take(journal.subscribe_changes("p", after=0), 4)) == 4


async def test_what_the_journal_did_not_write_is_passed_over(url: str) -> None:
    async with EventStore.open(url, inline=[JournalTables()]) as store:
        journal = Journal(store)
        await fill(journal, 1)
        good = entry(1)
        data = {key: good[key] for key in ("entry_id", "emoji", "agent", "message", "meta")}
        data |= {"raw_line": "", "ts": "2026-03-01\0" + "12:00:00"}
        strange: list[tuple[str, Any]] = [
            ("journal/project:p", b"bytes"),
            ("journal/project:p", {}),
            ("journal/project:p", {**data, "ts": "never"}),
            ("journal/project:p", {**data, "agent": "x" * 10_000}),
            ("journal/project:p", {**data, "meta": []}),
            ("journal/agent:p", data),
            ("other/project:p", data),
            ("journal/project:q", data),
            ("journal/project:p", {**data, "entry_id": "e0"}),
            ("journal/project:p", {**data, "entry_id": "\0"}),
        ]
        for stream, content in strange:
            await store.append(stream, [NewEvent("EntryInserted", content)])
        # Together they are applied in another way.
        many = [NewEvent("EntryInserted", {**data, "entry_id": one}) for one in ("x", "e0", "x")]
        bad = [NewEvent("EntryInserted", content) for _, content in strange[:3]]
        await store.append("journal/project:p", many + bad)
        await store.append("journal/project:p", bad)
        await store.append("journal/project:q", some_of(data, 2))
        found = await journal.fetch_recent_entries(project="p", limit=9)
        assert sorted(one["id"] for one in found) == ["\0", "e0", "x"]
        assert await journal.fetch_project_metrics("p") == (3, 3, 0, 0)


async def test_a_batch_with_what_a_table_cannot_take_fails_or_is_set_aside_alone(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = entries.entry_row

    def refuse(position: int, project_id: int, data: Any) -> Any:
        if data.entry_id == "bad":
            raise ZeroDivisionError
        return row(position, project_id, data)

    for module in (entries, stated):
        monkeypatch.setattr(module, "entry_row", refuse)
    tables = JournalTables(on_error="set_aside")
    async with EventStore.open(lasting_url, inline=[tables]) as store:
        journal = Journal(store)
        await fill(journal, 1)
        event = await anext(store.read(types={"EntryInserted"}))
        names = ("one", "bad", "two")
        await store.append(
            event.stream,
            [NewEvent("EntryInserted", {**event.data, "entry_id": name}) for name in names],
        )
        assert await journal.fetch_project_metrics("p") == (3, 3, 0, 0)
    async with EventStore.open(lasting_url, inline=[JournalTables()]) as store:
        with pytest.raises(ProjectionError, match="ZeroDivisionError"):
            await store.append(
                event.stream,
                [NewEvent("EntryInserted", {**event.data, "entry_id": name}) for name in names],
            )


async def test_a_program_without_the_tables_is_caught_up_with(lasting_url: str) -> None:
    async with Journal(lasting_url) as journal, EventStore.open(lasting_url) as bare:
        await fill(journal, 1)
        event = await anext(bare.read(streams="journal/", types={"EntryInserted"}))
        await bare.append(event.stream, [NewEvent(event.type, {**event.data, "entry_id": "x"})])
        assert await journal.count_entries("p") == 2


def some_of(data: Any, count: int) -> list[NewEvent]:
    return [NewEvent("EntryInserted", {**data, "entry_id": str(one)}) for one in range(count)]


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        rows = {
            name: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {name}"))), key=repr)
            for name in Tables.metadata.tables
        }
    engine.dispose()
    return rows


@pytest.mark.slow
@pytest.mark.promise("journal")
async def test_tables_that_are_rebuilt_are_the_same(lasting_url: str) -> None:
    kind = lasting_url.partition(":")[0]
    other = LOG_URLS[kind](Path(tempfile.mkdtemp()))
    async with EventStore.open(lasting_url, inline=[JournalTables()]) as store:
        journal = Journal(store)
        await do_everything(journal)
        await fill(journal, 5, meta={"n": 1, "long": "é" * 700, "list": [None]})
        await journal.upsert_project(**{**PROJECT, "repo_root": "/moved"})
        await journal.set_agent_project("bo", "p", None, "bo", "s")
        await journal.upsert_agent_session("bo", "t", None)
        await journal.heartbeat_session("t")
        await store.redact(13, "a secret")
    before = dump(lasting_url)
    assert all(before[name] for name in before if name != "journal_document")
    async with EventStore.open(lasting_url) as store:
        await ProjectionRunner(store, JournalTables().at(lasting_url)).rebuild()
        await ProjectionRunner(store, JournalTables().at(other)).rebuild()
    assert dump(lasting_url) == before
    assert dump(other) == before
    async with Journal(lasting_url) as journal:
        session = await journal.fetch_agent_session("t")
        assert session is not None
        assert session["last_active_at"] > session["started_at"]


async def test_a_deleted_project_leaves_no_row(lasting_url: str) -> None:
    async with Journal(lasting_url) as journal:
        await do_everything(journal)
        await fill(journal, 3)
        await journal.delete_project("p")
    left = {name for name, rows in dump(lasting_url).items() if rows}
    assert left == {"journal_session"}


@pytest.mark.slow
@pytest.mark.parametrize("position", range(1, 11))
async def test_redaction_leaves_what_a_rebuild_would(tmp_path: Path, position: int) -> None:
    url, other = (f"sqlite:///{tmp_path}/{name}.db" for name in ("events", "other"))
    async with EventStore.open(url, inline=[JournalTables()]) as store:
        journal = Journal(store)
        await do_everything(journal)
        await fill(journal, 1)
        await store.redact(position, "a secret")
        assert await journal.fetch_recent_entries(project="p", limit=9) is not None
        await ProjectionRunner(store, JournalTables().at(other)).rebuild()
    assert dump(url) == dump(other)


async def test_followers_that_wait_are_woken(journal: Journal) -> None:
    got: list[JournalChange] = []
    changes = journal.subscribe_changes()

    async def follow() -> None:
        got.extend(await take(changes, 1))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await journal.upsert_project(**PROJECT)
    assert [change.kind for change in got] == ["project"]
    await changes.aclose()
