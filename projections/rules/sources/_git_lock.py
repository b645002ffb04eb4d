"""Whether git is in the middle of changing the work tree around a directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def find_git_lock(directory: Path) -> Path | None:
    """Return the index lock of the git work tree around ``directory``, if git holds it.

    While it exists git is in the middle of a checkout, merge or reset. Linked work trees and
    submodules have it elsewhere, where their file ``.git`` says.
    """
    for folder in (directory, *directory.parents):
        git = folder / ".git"
        # Not Path's own tests: they raise where another user's folder cannot be looked into.
        if os.path.isfile(git):  # noqa: PTH113
            git = _git_directory(git)
        elif not os.path.isdir(git):  # noqa: PTH112
            continue
        lock = git / "index.lock"
        return lock if os.path.exists(lock) else None  # noqa: PTH110
    return None


def _git_directory(file: Path) -> Path:
    """Return where ``gitdir: PATH`` in a file ``.git`` leads; the file itself if nowhere."""
    try:
        with file.open("rb") as stream:
            word, _, path = stream.read(8192).partition(b":")
    except OSError:
        return file
    target = os.fsdecode(path.strip())
    return file.parent / target if word == b"gitdir" and target and "\0" not in target else file
