"""A watching master whose directory is replaced, and one whose watch fails."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest
from support.master import NEVER, fill, following, logged, marked, stands, ttp
from support.waiting import DEADLINE

from eventstore.system.directory_watch import Watcher
from projections.rules.sources.watch import DirectoryWatch

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import EventStore


pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("watched_often")]


NEW = ttp("A", "second, and longer than the first")


async def changes_of(store: EventStore, root: Path, rule_id: str) -> list[str]:
    """Return what happened to a rule, once all that was done before is noticed."""
    await marked(store, root)
    return [event.type for event in await logged(store) if event.stream == f"rule/{rule_id}"]


async def test_a_root_that_is_deleted_and_recreated_is_followed_again(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a.yml": ttp("A")})
    async with following(store, root):
        shutil.rmtree(root)
        fill(root, {"a.yml": NEW})
        await stands(store, "A", NEW)
        fill(root, {"a.yml": ttp("A", "third")})
        await stands(store, "A", ttp("A", "third"))
    assert await logged(store, "RuleRemoved") == []


async def test_a_root_that_is_not_there_yet_is_waited_for(store: EventStore, root: Path) -> None:
    shutil.rmtree(root)
    async with following(store, root):
        await anyio.wait_all_tasks_blocked()
        fill(root, {"a.yml": NEW})
        await stands(store, "A", NEW)


async def test_a_root_that_is_not_there_is_told_by_the_scan_alone(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = DirectoryWatch(root / "nowhere")
    watch.start()
    try:
        await watch.wait(0, DEADLINE)
        assert watch.count > 0
        assert (watch.trouble, caplog.text) == ("", "")
    finally:
        watch.close()


async def test_a_root_that_is_a_link_may_lead_elsewhere(
    store: EventStore, root: Path, tmp_path: Path
) -> None:
    fill(root, {"a.yml": ttp("A")})
    other = fill(tmp_path / "other", {"a.yml": NEW})
    link = tmp_path / "link"
    link.symlink_to(root)
    async with following(store, link):
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").rename(link)
        await stands(store, "A", NEW)
        fill(other, {"a.yml": ttp("A", "third")})
        await stands(store, "A", ttp("A", "third"))


async def test_kubernetes_swaps_are_one_change(store: EventStore, root: Path) -> None:
    fill(root, {"..1/a.yml": ttp("A"), "..2/a.yml": NEW})
    (root / "..data").symlink_to("..1")
    (root / "a.yml").symlink_to("..data/a.yml")
    async with following(store, root):
        (root / "..tmp").symlink_to("..2")
        (root / "..tmp").rename(root / "..data")
        await stands(store, "A", NEW)
        assert await changes_of(store, root, "A") == ["RuleDefined", "RuleDefined"]


async def test_a_name_that_is_not_utf8_does_not_blind_the_watch(
    store: EventStore, root: Path
) -> None:
    async with following(store, root):
        (root / os.fsdecode(b"\xff.txt")).write_text("kills an iterator")
        fill(root, {"a.yml": NEW})
        await stands(store, "A", NEW)
        await marked(store, root)


def no_watch(_: Path) -> None:
    """Do what watching does where the system allows no more of it."""
    raise OSError("inotify watch limit reached")


async def test_a_watch_that_fails_asks_for_a_look_at_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.system.inotify_tree.TreeEvents", no_watch)
    monkeypatch.setattr("eventstore.system.directory_watch.RETRY_SECONDS", NEVER)
    woken = threading.Event()
    watcher = Watcher(root, woken.set, recursive=True)
    watcher.start()
    try:
        assert await anyio.to_thread.run_sync(woken.wait, DEADLINE)
        assert "inotify" in watcher.trouble
    finally:
        watcher.close()


async def test_a_watch_that_never_works_is_replaced_by_looking_on_a_timer(
    store: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eventstore.system.inotify_tree.TreeEvents", no_watch)
    async with following(store, root, rescan_seconds=0.05):
        for n in range(3):
            fill(root, {"a.yml": ttp("A", f"edit {n}")})
            await stands(store, "A", ttp("A", f"edit {n}"))
    told_once = [record for record in caplog.records if "inotify" in record.getMessage()]
    assert len(told_once) == 1
