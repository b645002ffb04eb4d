"""Masters of sources on the command line: one of each, and what they say at their start."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from support.master import fill, ttp

from projections.rules.sources.git_lock import STALE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Run, Running


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Give two good files and a bad one."""
    files = {"a.yml": ttp("A"), "b.yml": ttp("B"), "bad.yml": "- nonsense\n"}
    return fill(tmp_path / "rules", files)


def test_a_master_that_starts_again_says_what_is_still_rejected(
    run: Run, rules: Path, start: Callable[..., Running]
) -> None:
    run("sync", "rules", "--once")
    master = start("sync", "rules")
    assert master.process.stderr is not None
    assert "bad.yml: rejected since" in master.process.stderr.readline()


def test_a_source_with_a_master_is_not_renamed(
    run: Run, rules: Path, start: Callable[..., Running]
) -> None:
    master = start("sync", "rules", "--source", "mine")
    master.lines_until("rejected")
    done = run("source", "rename", "mine", "new")
    assert done.returncode == 1
    assert "is followed by" in done.stderr


@pytest.mark.slow
def test_a_lock_of_git_fails_a_single_sync_and_a_stale_one_is_named(
    run: Run, rules: Path, tmp_path: Path
) -> None:
    (rules / "bad.yml").unlink()
    run("sync", "rules", "--once")
    lock = fill(tmp_path, {".git/index.lock": ""}) / ".git" / "index.lock"
    (rules / "a.yml").unlink()
    done = run("sync", "rules", "--once")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "index.lock" in done.stderr
    old = time.time() - STALE_SECONDS - 1
    os.utime(lock, (old, old))
    done = run("sync", "rules", "--once")
    assert (done.returncode, done.stdout[:9]) == (0, "0 defined")
    assert "ignored" in done.stderr
