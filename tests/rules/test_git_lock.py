"""The lock of a work tree, as git itself lays one out."""

from __future__ import annotations

import subprocess
from pathlib import Path

from projections.rules.sources.git_lock import find_git_lock


def test_the_lock_of_a_work_tree_that_git_itself_links_is_found(tmp_path: Path) -> None:
    def git(*words: str, folder: str = "main") -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path / folder), *who, *words], capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    (tmp_path / "main").mkdir()
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("worktree", "add", "-q", "../tree")
    lock = Path(git("rev-parse", "--absolute-git-dir", folder="tree")) / "index.lock"
    lock.touch()
    assert find_git_lock(tmp_path / "tree") == lock
    assert find_git_lock(tmp_path / "main") is None
