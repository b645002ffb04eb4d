"""A forked child has no part in the watches and the notifier's files of its parent."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from support.open_files import open_files
from support.waiting import DEADLINE

from eventstore.notify._position_file import PositionFile
from eventstore.system.directory_watch import Watcher

from .test_fork_hooks import run_in_fork

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def test_a_child_closes_its_copies_and_the_parent_goes_on(tmp_path: Path) -> None:
    woken, others = threading.Semaphore(0), opened()
    watcher = Watcher(tmp_path, woken.release, recursive=False)
    watcher.start()
    assert woken.acquire(timeout=DEADLINE)
    file = PositionFile(tmp_path)
    file.write(1, "")
    assert woken.acquire(timeout=DEADLINE)
    ours = opened() - others
    assert len(ours) == 3

    def in_child() -> bool:
        left = opened() & ours
        watcher.close()
        file.close()
        return not left

    try:
        assert run_in_fork(in_child) == 0
        while woken.acquire(blocking=False):
            pass
        file.write(2, "")
        assert woken.acquire(timeout=DEADLINE)
        assert file.read() == (2, "")
    finally:
        watcher.close()
        file.close()


def opened() -> set[int]:
    """Return the descriptors of watches and of notifiers' files, other tests' too."""
    ends = ("inotify", "[eventfd]", "/position")
    return {number for number, name in open_files().items() if name.endswith(ends)}
