"""The master, one look at a time: what a directory's files do to the log."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import fill, head_position, logged, rejected, standing, told, ttp
from support.waiting import DEADLINE

from eventstore import EventStore, NewEvent, StoreClosedError, limits
from projections.rules import RuleSync, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from support.master import Sync


pytestmark = pytest.mark.anyio


async def test_the_first_look_defines_every_rule(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": ttp("A"), "sub/b.yaml": ttp("B"), "notes.txt": "no rule"})
    report = await sync()
    assert (report.defined, report.removed, report.rejected, report.unchanged) == (2, 0, 0, 0)
    assert await standing(store) == {"A": ("a.yml", ttp("A")), "B": ("sub/b.yaml", ttp("B"))}


async def test_a_second_look_appends_nothing(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": "broken: ["})
    await sync()
    report = await sync()
    assert (report.defined, report.rejected, report.unchanged, report.position) == (0, 1, 1, None)
    assert await head_position(store) == 2


async def test_an_edit_is_a_definition(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    await sync()
    fill(root, {"a.yml": ttp("A", "second")})
    assert (await sync()).defined == 1
    assert await told(store, after=2) == [("RuleDefined", "A")]


async def test_touch_and_chmod_are_no_change(store: EventStore, root: Path, sync: Sync) -> None:
    file = fill(root, {"a.yml": ttp("A")}) / "a.yml"
    await sync()
    os.utime(file, (1, 1))
    file.chmod(0o600)
    assert (await sync()).position is None


async def test_a_rename_that_keeps_the_id_removes_nothing(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A")})
    await sync()
    (root / "a.yml").rename(root / "z.yml")
    report = await sync()
    assert (report.defined, report.removed) == (1, 0)
    assert await standing(store) == {"A": ("z.yml", ttp("A"))}


async def test_a_renamed_raw_file_is_a_removal_and_a_definition_in_one_commit(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.txt": "text"})
    await sync(format="raw")
    (root / "a.txt").rename(root / "z.txt")
    await sync(format="raw")
    assert await told(store, after=1) == [("RuleRemoved", "a.txt"), ("RuleDefined", "z.txt")]
    assert [event.commit for event in await logged(store)] == [1, 3, 3]


async def test_a_rule_deleted_while_the_master_was_down_is_removed(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    await sync()
    (root / "a.yml").unlink()
    assert (await sync()).removed == 1
    assert list(await standing(store)) == ["B"]


async def test_files_that_change_together_are_one_commit(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {f"r{n}.yml": ttp(f"R{n}") for n in range(10)})
    await sync()
    fill(root, {f"r{n}.yml": ttp(f"R{n}", "second") for n in range(5)})
    fill(root, {"new.yml": ttp("NEW"), "bad.yml": "["})
    (root / "r9.yml").unlink()
    await sync()
    events = await logged(store)
    assert {event.commit for event in events[10:]} == {len(events)}
    assert len(events) == 10 + 5 + 1 + 1 + 1


@pytest.mark.promise("bad-input")
async def test_a_directory_that_became_empty_is_refused(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    await sync()
    for name in ("a.yml", "b.yml"):
        (root / name).unlink()
    with pytest.raises(SourceError, match="--allow-empty"):
        await sync()
    assert list(await standing(store)) == ["A", "B"]
    assert (await sync(allow_empty=True)).removed == 2


async def test_deleting_the_only_rule_is_an_ordinary_removal(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("A")})
    await sync()
    (root / "a.yml").unlink()
    assert (await sync()).removed == 1


async def test_a_missing_directory_is_refused(store: EventStore, root: Path, sync: Sync) -> None:
    fill(root, {"a.yml": ttp("A")})
    await sync()
    shutil.rmtree(root)
    with pytest.raises(SourceError, match="is not there"):
        await sync()
    assert list(await standing(store)) == ["A"]


async def test_a_file_in_the_place_of_the_directory_is_refused(root: Path, sync: Sync) -> None:
    shutil.rmtree(root)
    fill(root.parent, {root.name: "no directory"})
    with pytest.raises(SourceError, match="Not a directory"):
        await sync()


@pytest.mark.parametrize("folder", ["", "deep/er/"])
async def test_a_projected_directory_inside_is_refused(root: Path, sync: Sync, folder: str) -> None:
    fill(root, {"a.yml": ttp("A"), f"{folder}.eventstore.json": "{}"})
    with pytest.raises(SourceError, match="projected directory"):
        await sync()


@pytest.mark.parametrize("inside", ["events.db", "deep/events.db"])
async def test_the_log_inside_the_directory_is_refused(root: Path, inside: str) -> None:
    fill(root, {"deep/a.yml": ttp("A")})
    async with EventStore.open(f"sqlite:///{root / inside}") as store:
        with pytest.raises(SourceError, match="contains the log itself"):
            RuleSync(store, root)


async def test_the_log_inside_by_way_of_a_link_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    async with EventStore.open(f"sqlite:///{tmp_path}/link/events.db") as store:
        with pytest.raises(SourceError, match="contains the log itself"):
            RuleSync(store, root)


async def test_crlf_and_a_byte_order_mark_are_content_like_any_other(
    store: EventStore, root: Path, sync: Sync
) -> None:
    (root / "a.yml").write_bytes(b"\xef\xbb\xbf" + ttp("A").replace("\n", "\r\n").encode())
    assert (await sync()).defined == 1
    fill(root, {"a.yml": ttp("A")})
    assert (await sync()).defined == 1


async def test_bytes_that_are_no_text_come_through_a_raw_tree(
    store: EventStore, root: Path, sync: Sync
) -> None:
    (root / "a.bin").write_bytes(b"\xff\0\xfe")
    (root / "empty").write_bytes(b"")
    assert (await sync(format="raw")).defined == 2
    binary, empty = [event.data for event in await logged(store)]
    assert binary["base64"] == "/wD+"
    assert empty["content"] == ""


async def test_names_and_ids_that_differ_in_case_are_different(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("R"), "A.yml": ttp("r")})
    assert (await sync()).defined == 2
    assert await standing(store) == {"R": ("a.yml", ttp("R")), "r": ("A.yml", ttp("r"))}


async def test_a_name_that_only_looks_like_another_is_rejected(
    store: EventStore, root: Path, sync: Sync
) -> None:
    composed, decomposed = "caf\u00e9.txt", "cafe\u0301.txt"
    fill(root, {decomposed: "one"})
    assert (await sync(format="raw")).defined == 1
    fill(root, {composed: "two"})
    report = await sync(format="raw")
    assert (report.defined, report.rejected) == (0, 1)
    (reason,) = (await rejected(store)).values()
    assert "looks just like 'cafe\\u0301.txt'" in reason
    (root / decomposed).unlink()
    report = await sync(format="raw")
    assert (report.defined, report.removed, report.rejected) == (1, 1, 0)


async def test_another_format_defines_the_same_files_again(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("a.yml".replace(".", "_"))})
    await sync()
    report = await sync(format="raw")
    assert (report.defined, report.removed) == (1, 1)
    assert list(await standing(store)) == ["a.yml"]


async def test_two_masters_at_once_append_each_edit_once(tmp_path: Path, root: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    async with EventStore.open(url) as one, EventStore.open(url) as two:
        masters = [RuleSync(store, root, source="test") for store in (one, two)]
        for edit in range(8):
            fill(root, {f"r{n}.yml": ttp(f"R{n}", f"edit {edit}") for n in range(5)})
            fill(root, {"bad.yml": f"[ {edit}"})
            async with anyio.create_task_group() as tasks:
                for master in masters:
                    tasks.start_soon(master.sync_once)
        assert len(await logged(one, "RuleDefined")) == 8 * 5
        assert len(await logged(one, "RuleRejected")) == 8


async def test_a_strangers_event_in_a_rules_stream_stops_nothing(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": "["})
    master = RuleSync(store, root, source="test")
    await master.sync_once()
    await store.append("rule/A", [NewEvent("Reviewed", {}), NewEvent("RuleDefined", 7)])
    await store.append("source/test", [NewEvent("Noted", {})])
    fill(root, {"a.yml": ttp("A", "second"), "b.yml": ttp("B")})
    assert (await master.sync_once()).defined == 2


@pytest.mark.parametrize("bad", [0, 9])
async def test_a_change_larger_than_a_commit_is_split(
    store: EventStore, root: Path, sync: Sync, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    monkeypatch.setattr(limits, "MAX_COMMIT_EVENTS", 4)
    fill(root, {f"r{n}.yml": ttp(f"R{n}") for n in range(10)})
    fill(root, {f"bad{n}.yml": "[" for n in range(bad)})
    report = await sync()
    assert (report.defined, report.rejected) == (10, bad)
    events = await logged(store)
    assert len(events) == report.position == 10 + bad
    assert len({event.commit for event in events}) == -(-10 // 4) + -(-bad // 4)
    assert (await sync()).position is None


async def test_a_rule_that_no_event_can_hold_is_rejected_alone(
    store: EventStore, root: Path, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_EVENT_BYTES", 2_000)
    fill(root, {"a.txt": "x" * 3_000, "b.txt": "good"})
    report = await sync(format="raw")
    assert (report.defined, report.rejected) == (1, 1)
    assert "over the limit" in (await rejected(store))["a.txt"]


async def test_a_closed_store_ends_the_run(root: Path) -> None:
    async with EventStore.open("memory://") as store:
        master = RuleSync(store, root)
    with anyio.fail_after(DEADLINE), pytest.raises(StoreClosedError):
        await master.run()
