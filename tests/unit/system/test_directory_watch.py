"""A watch on a directory sleeps until there is a change, and ends with all that it opened."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.open_files import open_files
from support.waiting import DEADLINE, wait_until

from eventstore.system import directory_watch, inotify, tree_watch
from eventstore.system.directory_watch import Pauses, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class Wakes:
    """Counts the calls of a watcher."""

    def __init__(self) -> None:
        self._count = threading.Semaphore(0)

    def __call__(self) -> None:
        self._count.release()

    def await_one(self) -> None:
        assert self._count.acquire(timeout=DEADLINE)

    def forget(self) -> None:
        while self._count.acquire(blocking=False):
            pass


def no_tree_watch(*_: object, **__: object) -> None:
    raise AssertionError("watchfiles watches the directory")


def open_watches() -> set[tuple[int, str]]:
    """Name what this process has open that a watch opens."""
    return {one for one in open_files().items() if "inotify" in one[1] or "eventfd" in one[1]}


@pytest.fixture(autouse=True)
def no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a wait end by a change, or by ``close``, or never."""
    monkeypatch.setattr(directory_watch, "CHECK_MS", 3_600_000)
    monkeypatch.setattr(directory_watch, "RETRY_SECONDS", 0.02)


def changed(directory: Path) -> None:
    (directory / "file").write_text("more")


def moved_in(directory: Path) -> None:
    (directory.parent / "other").write_text("x")
    (directory.parent / "other").rename(directory / "file")


def removed(directory: Path) -> None:
    (directory / "file").unlink()


def written_again_and_again(directory: Path) -> None:
    with (directory / "file").open("r+b", buffering=0) as file:
        for _ in range(3):
            file.write(b"more")


@pytest.mark.parametrize("change", [changed, moved_in, removed, written_again_and_again])
def test_each_kind_of_change_wakes_without_watchfiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(tree_watch, "changes", no_tree_watch)
    directory = tmp_path / "watched"
    directory.mkdir()
    (directory / "file").write_text("some")
    wakes = Wakes()
    watcher = Watcher(directory, wakes, recursive=False)
    watcher.start()
    with closing(watcher):
        wakes.await_one()  # Once the watch has begun, for what was before.
        change(directory)
        wakes.await_one()
        assert not watcher.trouble


def test_reading_a_file_wakes_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("some")
    with inotify.DirectoryEvents(tmp_path) as events:
        (tmp_path / "file").read_text()
        assert not events.wait(0).any
        changed(tmp_path)
        assert events.wait(0).any


@pytest.mark.parametrize("how", ["removed", "renamed"])
def test_a_directory_that_is_made_again_is_watched_again(tmp_path: Path, how: str) -> None:
    directory = tmp_path / "watched"
    directory.mkdir()
    wakes = Wakes()
    watcher = Watcher(directory, wakes, recursive=False)
    watcher.start()
    with closing(watcher):
        wakes.await_one()
        if how == "removed":
            shutil.rmtree(directory)
        else:
            directory.rename(tmp_path / "elsewhere")
        wait_until(lambda: watcher.trouble)  # It says that there is none.
        assert str(directory) in watcher.trouble
        directory.mkdir()
        wait_until(lambda: not watcher.trouble)
        wakes.forget()
        changed(directory)
        wakes.await_one()


def test_a_path_that_leads_to_another_directory_is_followed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_watch, "CHECK_MS", 10)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    wakes = Wakes()
    watcher = Watcher(link, wakes, recursive=False)
    watcher.start()
    with closing(watcher):
        wakes.await_one()
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(link)
        wakes.await_one()  # The path leads elsewhere.
        wakes.await_one()  # The watch of the other directory has begun.
        wakes.forget()
        changed(tmp_path / "two")
        wakes.await_one()


def test_close_ends_a_wait_and_leaves_nothing_open(tmp_path: Path) -> None:
    before = open_watches()
    wakes = Wakes()
    watchers = [Watcher(tmp_path, wakes, recursive=False) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
        wakes.await_one()
    assert len(open_watches() - before) == 2 * len(watchers)
    for watcher in watchers:
        watcher.close()
        watcher.close()
    assert open_watches() <= before
    assert not [one for one in threading.enumerate() if one in {w._thread for w in watchers}]


def test_a_watch_that_cannot_begin_leaves_nothing_open(tmp_path: Path) -> None:
    before = open_watches()
    for place in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match=r"No such file|Not a directory"):
            inotify.DirectoryEvents(place)
    assert open_watches() <= before


def test_without_inotify_watchfiles_watches_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(_: Path) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    caplog.set_level("INFO")
    monkeypatch.setattr(inotify, "DirectoryEvents", none)
    monkeypatch.setattr(directory_watch, "CHECK_MS", 50)
    wakes = Wakes()
    watcher = Watcher(tmp_path, wakes, recursive=False)
    watcher.start()
    with closing(watcher):
        wakes.await_one()
        changed(tmp_path)
        wakes.await_one()
    assert not watcher.trouble
    assert [record.getMessage() for record in caplog.records if "inotify" in record.message] == [
        f"no inotify here: watchfiles watches {tmp_path}"
    ]


def test_a_program_that_is_told_to_poll_does_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = threading.Event()
    changes = tree_watch.changes

    def noting(*places: Path, **how: object) -> object:
        used.set()
        return changes(*places, **how)  # type: ignore[arg-type]

    monkeypatch.setenv("WATCHFILES_FORCE_POLLING", "1")
    monkeypatch.setattr(directory_watch, "CHECK_MS", 50)
    monkeypatch.setattr(tree_watch, "changes", noting)
    watcher = Watcher(tmp_path, lambda: None, recursive=False)
    watcher.start()
    with closing(watcher):
        assert used.wait(DEADLINE)


def test_the_pause_grows_within_a_stream_of_changes_only() -> None:
    pauses = Pauses()
    stream = [pauses.next(100.0 + number * 0.005) for number in range(6)]
    assert stream == [0.002, 0.004, 0.008, 0.016, 0.02, 0.02]
    assert pauses.next(100.1) == 0.002
    assert [pauses.next(200.0 + number) for number in range(3)] == [0.002] * 3
