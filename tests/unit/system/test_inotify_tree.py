"""A watch on a tree names each path that has changed, or says that everything may have."""

from __future__ import annotations

import os
import random
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.waiting import DEADLINE

if sys.platform != "linux":
    pytest.skip("inotify is Linux's", allow_module_level=True)

from eventstore.system import inotify_tree
from eventstore.system.inotify_tree import TreeEvents

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a tree of two folders, one in the other."""
    root = tmp_path / "tree"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "old").write_text("x")
    return root


@pytest.fixture
def events(root: Path) -> Iterator[TreeEvents]:
    """Give a watch whose beginning was taken note of."""
    with TreeEvents(root) as events:
        assert events.take() is None, "what was before is not known"
        assert events.take() == frozenset()
        yield events


def test_each_kind_of_change_of_a_file_names_its_path(root: Path, events: TreeEvents) -> None:
    (root / "new").write_text("x")
    assert events.take() == frozenset({"new"})
    (root / "a" / "b" / "old").write_text("longer")
    (root / "a" / "b" / "old").chmod(0o600)
    assert events.take() == frozenset({"a/b/old"})
    (root / "new").rename(root / "a" / "moved")
    assert events.take() == frozenset({"new", "a/moved"})
    (root / "a" / "moved").unlink()
    (root / "link").symlink_to("nowhere")
    os.link(root / "a" / "b" / "old", root / "hard")
    assert events.take() == frozenset({"a/moved", "link", "hard"})
    (root / os.fsdecode(b"\xff")).write_text("no UTF-8")
    assert events.take() == frozenset({os.fsdecode(b"\xff")})
    (root / "hard").read_text()
    assert events.take() == frozenset()


def test_a_write_through_a_file_that_stays_open_is_named(root: Path, events: TreeEvents) -> None:
    with (root / "open").open("wb", buffering=0) as file:
        for _ in range(3):
            file.write(b"x")
            assert events.take() == frozenset({"open"})
    assert events.take() == frozenset({"open"}), "and that it was closed"


@pytest.mark.parametrize("how", ["made", "moved in", "moved within", "made deep"])
def test_a_new_folder_may_change_everything_and_is_watched(
    root: Path, events: TreeEvents, tmp_path: Path, how: str
) -> None:
    if how == "made":
        (root / "new").mkdir()
    elif how == "made deep":
        (root / "new" / "b").mkdir(parents=True)
    elif how == "moved in":
        (tmp_path / "elsewhere" / "b").mkdir(parents=True)
        (tmp_path / "elsewhere").rename(root / "new")
    else:
        (root / "a").rename(root / "new")
    assert events.take() is None
    events.take()  # What was made below it before it was watched may come a second time.
    (root / "new" / "file").write_text("x")
    assert events.take() == frozenset({"new/file"})
    if how != "made":
        (root / "new" / "b" / "file").write_text("x")
        assert events.take() == frozenset({"new/b/file"})


def test_a_folder_that_left_is_watched_no_more(
    root: Path, events: TreeEvents, tmp_path: Path
) -> None:
    (root / "a").rename(tmp_path / "away")
    assert events.take() is None
    events.take()
    (tmp_path / "away" / "file").write_text("x")
    (tmp_path / "away" / "b" / "file").write_text("x")
    assert events.take() == frozenset()
    shutil.rmtree(root)
    assert events.wait(0).ended
    assert events.take() is None


@pytest.mark.parametrize("how", ["deleted", "renamed", "its link leads elsewhere"])
def test_of_another_root_at_the_path_everything_may_have_changed_at_each_look(
    tmp_path: Path, how: str
) -> None:
    root, at, other = tmp_path / "tree", tmp_path / "tree", tmp_path / "other"
    for one in (root, other):
        one.mkdir()
    if how == "its link leads elsewhere":
        at = tmp_path / "link"
        at.symlink_to(root)
    with TreeEvents(at) as events:
        assert events.take() is None
        assert events.take() == frozenset()
        if how == "deleted":
            root.rmdir()
            root.mkdir()
        elif how == "renamed":
            root.rename(tmp_path / "away")
            other.rename(root)
        else:
            (tmp_path / "next").symlink_to(other)
            (tmp_path / "next").rename(at)
        assert events.take() is None
        (at / "file").write_text("x")
        assert events.take() is None, "these watches see nothing of what is there now"
        # What was read above wakes no thread any more: without an interrupt this waits on.
        assert events.wait(10 * DEADLINE).ended


def test_many_paths_mean_that_everything_may_have_changed(
    root: Path, events: TreeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inotify_tree, "MOST_PATHS", 3)
    for number in range(4):
        (root / f"{number}").write_text("x")
    assert events.take() is None
    assert events.take() == frozenset()
    monkeypatch.setattr(inotify_tree, "_MOST_READS", 1)
    (root / "one").write_text("x")
    assert events.take() is None, "there may be more to read"


@pytest.mark.slow
def test_lost_events_mean_that_everything_may_have_changed(root: Path, events: TreeEvents) -> None:
    for number in range(int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())):
        (root / f"{number % 2}").touch()
    assert events.take() is None


def test_what_a_wait_has_read_is_not_lost_to_the_next_look(root: Path, events: TreeEvents) -> None:
    (root / "new").write_text("x")
    assert events.wait(0).any
    assert not events.wait(0).any
    assert events.take() == frozenset({"new"})
    (root / "other").write_text("x")
    assert events.take() == frozenset({"other"})
    assert events.wait(0).any, "a look takes no wake-up away"


def test_after_it_is_closed_everything_may_have_changed(root: Path) -> None:
    events = TreeEvents(root)
    events.take()
    events.close()
    events.close()
    assert events.take() is None


def folders_below(root: Path) -> list[Path]:
    return sorted(Path(folder) for folder, _, _ in os.walk(root))


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 9))]
)
def test_after_any_changes_of_folders_each_file_is_named(
    root: Path, events: TreeEvents, seed: int
) -> None:
    chance = random.Random(seed)
    for number in range(30):
        folders = folders_below(root)
        folder, other = chance.choice(folders), chance.choice(folders)
        what = chance.random()
        if what < 0.4:
            (folder / f"folder{number}").mkdir()
        elif what < 0.6 and folder != root and not other.is_relative_to(folder):
            folder.rename(other / f"moved{number}")
        elif what < 0.7 and folder != root:
            shutil.rmtree(folder)
        if chance.random() < 0.5:
            events.take()
    while events.take() is None:
        continue
    for folder in folders_below(root):
        (folder / "file").write_text("x")
        assert events.take() == frozenset({str((folder / "file").relative_to(root))})
