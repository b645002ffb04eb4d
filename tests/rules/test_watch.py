"""A watching master: each way to save a file is one change, also where the watch misses events."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest
from support.logs import positions
from support.looks import Looks, counted_looks
from support.master import (
    NEVER,
    QUICK,
    fill,
    following,
    logged,
    marked,
    rejected,
    standing,
    stands,
    told,
    ttp,
)
from support.waiting import eventually, until

from eventstore import EventStore
from eventstore.system.directory_watch import Watcher
from projections.rules import RuleSync, SyncReport
from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources.debounce import DebounceTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("watched_often")]


NEW = ttp("A", "second, and longer than the first")


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Count the masters' looks at their directories."""
    return counted_looks(monkeypatch)


async def changes_of(store: EventStore, root: Path, rule_id: str) -> list[str]:
    """Return what happened to a rule, once all that was done before is noticed."""
    await marked(store, root)
    return [event.type for event in await logged(store) if event.stream == f"rule/{rule_id}"]


def in_place(file: Path) -> None:
    with file.open("r+") as stream:
        stream.write(NEW)


def by_rename(file: Path) -> None:
    file.with_name(".a.tmp").write_text(NEW)
    file.with_name(".a.tmp").rename(file)


def by_a_visible_rename(file: Path) -> None:
    file.with_name("a.yml.tmp").write_text(NEW)
    file.with_name("a.yml.tmp").rename(file)


def truncate_then_write(file: Path) -> None:
    with file.open("w") as stream:
        stream.flush()
        os.fsync(stream.fileno())
        stream.write(NEW)


def delete_and_recreate(file: Path) -> None:
    file.unlink()
    file.write_text(NEW)


def in_two_writes(file: Path) -> None:
    with file.open("w", buffering=1) as stream:
        stream.write(NEW[:40])
        stream.flush()
        stream.write(NEW[40:])


def with_a_backup(file: Path) -> None:
    backup = file.with_name("a.yml~")
    os.link(file, backup)
    file.unlink()
    file.write_text(NEW)
    backup.unlink()


SAVES = [
    in_place,
    by_rename,
    by_a_visible_rename,
    truncate_then_write,
    delete_and_recreate,
    in_two_writes,
    with_a_backup,
]


@pytest.mark.parametrize("save", SAVES)
async def test_each_way_to_save_is_one_change(
    store: EventStore, root: Path, save: Callable[[Path], None]
) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root):
        save(root / "a.yml")
        await stands(store, "A", NEW)
        assert await changes_of(store, root, "A") == ["RuleDefined", "RuleDefined"]
    assert await logged(store, "RuleRejected") == []


async def is_written_once(
    store: EventStore, root: Path, looks: Looks, gap: str, times: DebounceTimes
) -> None:
    """Save a rule so that a look sees ``gap`` instead; check that it is defined once more."""
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root, debounce=times):
        await looks.more(1)
        if gap == "gone":
            (root / "a.yml").unlink()
        else:
            fill(root, {"a.yml": NEW[:40] if gap == "half" else ""})
        await looks.more(1)
        fill(root, {"a.yml": NEW})
        await stands(store, "A", NEW)
    assert await told(store) == [("RuleDefined", "A")] * 2


@pytest.mark.parametrize("gap", ["empty", "half", "gone"])
async def test_a_file_that_is_not_whole_for_a_moment_is_left_alone(
    store: EventStore, root: Path, looks: Looks, gap: str
) -> None:
    times = DebounceTimes(whole=0.03, incomplete=0.5)
    await is_written_once(store, root, looks, gap, times)


async def test_a_rename_is_one_definition(store: EventStore, root: Path) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root):
        (root / "a.yml").rename(root / "z.yml")

        async def moved() -> bool:
            return (await standing(store))["A"] == ("z.yml", ttp("A"))

        await eventually(moved)
        assert await changes_of(store, root, "A") == ["RuleDefined", "RuleDefined"]


async def test_a_deletion_is_a_removal(store: EventStore, root: Path) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    async with following(store, root):
        (root / "a.yml").unlink()
        await stands(store, "A", None)
        assert await changes_of(store, root, "A") == ["RuleDefined", "RuleRemoved"]


async def test_touching_a_file_is_no_change(store: EventStore, root: Path) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root):
        os.utime(root / "a.yml")
        (root / "a.yml").chmod(0o600)
        assert await changes_of(store, root, "A") == ["RuleDefined"]


async def test_a_broken_file_is_rejected_and_its_repair_noticed(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root):
        fill(root, {"a.yml": "["})

        async def bad() -> bool:
            return list(await rejected(store)) == ["a.yml"]

        await eventually(bad)
        fill(root, {"a.yml": NEW})
        await stands(store, "A", NEW)
        assert await rejected(store) == {}


async def test_scratch_files_cause_nothing_at_all(
    store: EventStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "projections")
    async with following(store, root):
        for name in (".a.yml.swp", "4913", "a.yml~", "#a.yml#"):
            (root / name).write_text("[")
        await marked(store, root)
    assert len(await logged(store)) == 1
    assert not caplog.records


async def test_a_new_folder_with_files_at_once_is_seen_whole(store: EventStore, root: Path) -> None:
    async with following(store, root):
        for n in range(10):
            fill(root, {f"new{n}/deep/er/r{n}.yml": ttp(f"R{n}")})

        async def complete() -> bool:
            return len(await standing(store)) == 10

        await eventually(complete)


async def test_a_folder_moved_in_and_out_is_seen_whole(
    store: EventStore, root: Path, tmp_path: Path
) -> None:
    outside = fill(tmp_path / "outside", {f"r{n}.yml": ttp(f"R{n}") for n in range(5)})
    fill(root, {"stays.yml": ttp("STAYS")})
    async with following(store, root):
        outside.rename(root / "inside")

        async def count(expected: int) -> None:
            async def so() -> bool:
                return len(await standing(store)) == expected

            await eventually(so)

        await count(6)
        fill(root, {"inside/r0.yml": ttp("R0", "edited after the move")})
        await stands(store, "R0", ttp("R0", "edited after the move"))
        (root / "inside").rename(outside)
        await count(1)


async def test_what_changes_during_a_look_belongs_to_what_changed_before_it(
    store: EventStore, root: Path, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = SourceReader.look
    together = threading.Event()

    def look_slowly(reader: SourceReader, *arguments: Any) -> Any:
        verdict = look(reader, *arguments)
        if verdict.defined and not together.is_set():
            # The look takes longer than the rest, and a checkout ends in the meantime.
            together.set()
            fill(root, {"b.yml": ttp("B")})
            threading.Event().wait(0.05)
        return verdict

    times = DebounceTimes(whole=0.02, incomplete=0.02, longest=3600)
    async with following(store, root, debounce=times):
        await looks.more(1)
        monkeypatch.setattr(SourceReader, "look", look_slowly)
        fill(root, {"a.yml": ttp("A")})
        await stands(store, "B", ttp("B"))
    assert len({event.commit for event in await logged(store, "RuleDefined")}) == 1


async def test_files_that_change_together_are_one_commit(store: EventStore, root: Path) -> None:
    fill(root, {f"r{n}.yml": ttp(f"R{n}") for n in range(30)})
    async with following(store, root):
        before = (await store.head()).position
        for n in range(30):
            fill(root, {f"r{n}.yml": ttp(f"R{n}", "second")})
        await stands(store, "R29", ttp("R29", "second"))
        await marked(store, root)
        commits = Counter(event.commit for event in await logged(store))
    assert commits == {before: before, before + 30: 30, before + 31: 1}


async def test_a_checkout_in_progress_is_waited_for(
    store: EventStore, root: Path, looks: Looks
) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root):
        fill(root, {".git/index.lock": ""})
        fill(root, {"a.yml": NEW})
        await looks.more(6)
        assert (await standing(store))["A"] == ("a.yml", ttp("A"))
        fill(root, {"b.yml": ttp("B")})
        (root / ".git" / "index.lock").unlink()
        await stands(store, "A", NEW)
    assert {event.commit for event in (await logged(store))[1:]} == {3}


async def test_trouble_is_logged_once_and_does_not_end_the_run(
    store: EventStore, root: Path, looks: Looks, caplog: pytest.LogCaptureFixture
) -> None:
    fill(root, {"a.yml": ttp("A"), "b.yml": ttp("B")})
    async with following(store, root, rescan_seconds=0.02):
        for name in ("a.yml", "b.yml"):
            (root / name).unlink()

        async def warned() -> bool:
            return "--allow-empty" in caplog.text

        await eventually(warned)
        await looks.more(3)
        fill(root, {"c.yml": ttp("C")})
        await stands(store, "C", ttp("C"))
    assert caplog.text.count("--allow-empty") == 1
    assert list(await standing(store)) == ["C"]


async def test_each_commit_is_reported(store: EventStore, root: Path) -> None:
    reports: list[SyncReport] = []
    sync = RuleSync(store, root, source="test", debounce=QUICK, rescan_seconds=NEVER)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sync.run, reports.append)
        await marked(store, root)
        await marked(store, root)
        tasks.cancel_scope.cancel()
    assert [(report.position, report.defined) for report in reports][:1] == [(1, 1)]
    assert positions(await logged(store)) == [1, 2]


async def test_cancelling_leaves_no_thread_behind(store: EventStore, root: Path) -> None:
    before = set(threading.enumerate())
    async with following(store, root):
        await marked(store, root)
        assert watches(before)
    await until(lambda: not watches(before))


def watches(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that watch directories and were not there before."""
    new = set(threading.enumerate()) - before
    return [thread for thread in new if thread.name == "eventstore-watch"]


async def test_two_masters_following_one_directory_append_each_edit_once(
    tmp_path: Path, root: Path
) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    fill(root, {"a.yml": ttp("A")})
    async with (
        EventStore.open(url) as one,
        EventStore.open(url) as two,
        following(one, root),
        following(two, root),
    ):
        for edit in range(5):
            fill(root, {"a.yml": ttp("A", f"edit {edit}")})
            await stands(one, "A", ttp("A", f"edit {edit}"))
        assert len(await changes_of(one, root, "A")) == 1 + 5


async def test_a_slow_writer_converges_on_the_final_content(
    store: EventStore, root: Path, looks: Looks
) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root, debounce=DebounceTimes(whole=0.1)):
        with (root / "a.yml").open("a") as stream:
            for n in range(5):
                stream.write(f"# line {n}\n")
                stream.flush()
                await looks.more(1)
        await stands(store, "A", (root / "a.yml").read_text())
        assert (await changes_of(store, root, "A"))[2:] == []


@pytest.mark.parametrize("told", [True, False], ids=["paths-told", "no-path-told"])
@pytest.mark.parametrize("gap", ["empty", "half", "gone"])
async def test_a_file_that_is_whole_again_need_not_wait_as_long_as_half_of_one(
    store: EventStore,
    root: Path,
    looks: Looks,
    gap: str,
    told: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not told:  # As while a watch begins, and where there is no inotify.
        monkeypatch.setattr(Watcher, "take", lambda _: None)
    times = DebounceTimes(whole=0.01, incomplete=3600, longest=7200)
    await is_written_once(store, root, looks, gap, times)
