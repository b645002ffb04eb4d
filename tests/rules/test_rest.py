"""Each look waits for git's lock and for rest, and says what it did not wait for."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.master import QUICK, fill, logged, standing, told, ttp
from support.waiting import eventually

from projections.rules import GitLockError, RuleSync, SourceError
from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources.debounce import DebounceTimes
from projections.rules.sources.git_lock import STALE_SECONDS
from projections.rules.sources.lease import source_owners

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import EventStore
    from projections.rules import SyncReport
    from projections.rules.sources.reconcile import Verdict

pytestmark = pytest.mark.anyio

SHORT = DebounceTimes(whole=0.01, incomplete=0.05, longest=0.3)
"""Times with a limit that a test can wait for."""

FIVE = {f"r{n}.yml": ttp(f"R{n}") for n in range(5)}


def sync(store: EventStore, root: Path, **settings: Any) -> RuleSync:
    with_defaults: dict[str, Any] = {"source": "test", "debounce": SHORT}
    return RuleSync(store, root, **with_defaults | settings)


def deleted(root: Path, *numbers: int) -> None:
    for n in numbers:
        (root / f"r{n}.yml").unlink()


@pytest.fixture
async def five(store: EventStore, root: Path) -> EventStore:
    """Give a log that knows five rules of the directory."""
    await sync(store, fill(root, FIVE)).sync_once()
    return store


@pytest.mark.promise("sources")
async def test_a_lock_that_stays_fails_a_look_that_then_changes_nothing(
    five: EventStore, root: Path
) -> None:
    fill(root, {".git/index.lock": "", "new.yml": ttp("N")})
    deleted(root, 0, 1, 2)
    before = await five.head()
    with pytest.raises(GitLockError, match=r"index\.lock has been there") as caught:
        await sync(five, root).sync_once()
    assert caught.value.lock == root / ".git" / "index.lock"
    assert isinstance(caught.value, SourceError)
    assert await five.head() == before


async def test_a_lock_fails_a_single_look_where_nothing_has_changed_yet(
    five: EventStore, root: Path
) -> None:
    fill(root, {".git/index.lock": ""})
    with pytest.raises(GitLockError):
        await sync(five, root).sync_once()


async def test_a_single_look_goes_on_as_soon_as_the_lock_is_gone(
    five: EventStore, root: Path
) -> None:
    fill(root, {".git/index.lock": ""})
    deleted(root, 0, 1, 2)
    reports: list[SyncReport] = []

    async def look() -> None:
        reports.append(await sync(five, root, debounce=QUICK).sync_once())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        fill(root, {"r0.yml": ttp("R0"), "r1.yml": ttp("R1"), "r2.yml": ttp("R2", "second")})
        (root / ".git" / "index.lock").unlink()
    assert [(report.defined, report.removed) for report in reports] == [(1, 0)]


async def test_a_root_that_a_checkout_has_made_again_meanwhile_fails_no_look(
    five: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted(root, 0)
    away, look = root.with_name("away"), SourceReader.look
    times: list[int] = []

    def between(self: SourceReader, *given: Any) -> Verdict:
        times.append(len(times))
        if len(times) > 1:
            return look(self, *given)
        root.rename(away)
        try:
            return look(self, *given)
        finally:
            away.rename(root)

    monkeypatch.setattr(SourceReader, "look", between)
    assert (await sync(five, root).sync_once()).removed == 1
    assert len(times) > 1


@pytest.mark.parametrize("place", ["below", "link", "worktree", "submodule", "nested"])
async def test_the_lock_is_found_wherever_the_work_tree_is(
    store: EventStore, tmp_path: Path, place: str
) -> None:
    repository = tmp_path / "repository"
    rules = fill(repository / "deep" / "rules", FIVE)
    root, lock = rules, repository / ".git" / "index.lock"
    if place == "link":
        root = tmp_path / "link"
        root.symlink_to(rules)
    elif place == "worktree":
        lock = tmp_path / "main" / ".git" / "worktrees" / "x" / "index.lock"
        fill(repository, {".git": f"gitdir: {lock.parent}\n"})
    elif place == "submodule":
        lock = repository / ".git" / "modules" / "deep" / "index.lock"
        fill(repository / "deep", {".git": "gitdir: ../.git/modules/deep\n"})
    elif place == "nested":
        root, lock = repository, repository / "deep" / ".git" / "index.lock"
    await sync(store, root).sync_once()
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    deleted(rules, 0, 1)
    with pytest.raises(GitLockError):
        await sync(store, root).sync_once()
    lock.unlink()
    assert (await sync(store, root).sync_once()).removed == 2


async def test_a_stale_lock_is_named_and_delays_nothing(
    five: EventStore, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(root, {".git/index.lock": ""})
    old = time.time() - STALE_SECONDS - 1
    os.utime(root / ".git" / "index.lock", (old, old))
    deleted(root, 0)
    with caplog.at_level(logging.WARNING):
        report = await sync(five, root, debounce=DebounceTimes(longest=3600.0)).sync_once()
    assert report.removed == 1
    (age,) = re.findall(r"index\.lock is (\d+) s old and ignored", caplog.text)
    assert int(age) > STALE_SECONDS


async def test_a_master_names_a_lock_while_it_stands(five: EventStore, root: Path) -> None:
    async def trouble() -> str:
        return "".join(owner.trouble for owner in await source_owners(five))

    async with anyio.create_task_group() as tasks:
        fill(root, {".git/index.lock": ""})
        deleted(root, 0)
        tasks.start_soon(sync(five, root, rescan_seconds=0.05).run)

        async def held() -> bool:
            return "git holds" in await trouble()

        await eventually(held)
        old = time.time() - STALE_SECONDS - 1
        os.utime(root / ".git" / "index.lock", (old, old))

        async def noted() -> bool:
            return (await trouble()).startswith("note: git's lock")

        await eventually(noted)
        tasks.cancel_scope.cancel()
    assert [event.data["rule_id"] for event in await logged(five, "RuleRemoved")] == ["R0"]


def never_at_rest(root: Path, monkeypatch: pytest.MonkeyPatch, name: str = "restless.yml") -> None:
    """Change a file before each look, so that no look finds what the one before has found."""
    look, times = SourceReader.look, list[str]()

    def changed(self: SourceReader, *given: Any) -> Verdict:
        times.append("edit")
        fill(root, {name: ttp("X", " ".join(times))})
        return look(self, *given)

    monkeypatch.setattr(SourceReader, "look", changed)


@pytest.mark.promise("sources")
async def test_settled_definitions_go_ahead_in_a_tree_that_never_rests(
    five: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (await five.head()).position
    with monkeypatch.context() as patch:
        never_at_rest(root, patch)
        deleted(root, 0)
        fill(root, {"new.yml": ttp("N"), "r1.yml": ttp("R1", "second")})
        report = await sync(five, root).sync_once()
    assert report.removed == 0
    assert report.waiting > 0
    said = await told(five, before)
    assert ("RuleDefined", "N") in said
    assert ("RuleDefined", "R1") in said
    assert "R0" in await standing(five)
    assert (await sync(five, root).sync_once()).removed == 1


@pytest.mark.promise("sources")
async def test_both_ends_of_a_move_wait_in_a_tree_that_never_rests(
    store: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, {"a.yar": "alpha", "b.yar": "beta"})
    await sync(store, root, format="raw").sync_once()
    with monkeypatch.context() as patch:
        never_at_rest(root, patch, "restless.txt")
        (root / "a.yar").rename(root / "moved.yar")
        fill(root, {"c.yar": "gamma"})
        await sync(store, root, format="raw").sync_once()
    rules = await standing(store)
    assert "a.yar" in rules
    assert "moved.yar" not in rules
    assert "c.yar" in rules
    (root / "restless.txt").unlink()
    await sync(store, root, format="raw").sync_once()
    assert {"moved.yar", "b.yar", "c.yar"} == set(await standing(store))


async def test_a_path_waits_for_the_removal_that_gives_it_free(
    five: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_at_rest(root, monkeypatch)
    fill(root, {"r0.yml": ttp("OTHER")})
    await sync(five, root).sync_once()
    rules = await standing(five)
    assert rules["R0"][0] == "r0.yml"
    assert "OTHER" not in rules
