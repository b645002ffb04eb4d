"""Git's index lock: whether git is in the middle of changing the work tree around a directory.

The lock of a crashed git stays behind. It is ignored once it is older than STALE_SECONDS, by
its modification time or by how long this process has seen it, and that is reported.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventstore.system.safe_files import read_regular
from projections.rules.sources.source_error import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STALE_SECONDS: Final = 300.0
"""Age from which a lock is taken as left behind by a git that has crashed, in seconds."""


class GitLockError(SourceError):
    """Git held the lock of the work tree for too long; the look has changed nothing.

    ``lock`` is the lock file, ``age`` its age in seconds.
    """

    def __init__(self, root: Path, lock: Path, age: float) -> None:
        super().__init__(
            root,
            f"git is changing the work tree: {lock} has been there for {age:.0f} s; nothing is "
            f"taken before it is gone or {STALE_SECONDS:.0f} s old (remove it if no git runs)",
        )
        self.lock, self.age = lock, age


@dataclass(frozen=True, slots=True)
class GitLock:
    """A lock that is there, and its age in seconds."""

    path: Path
    age: float

    @property
    def stale(self) -> bool:
        """Whether it is so old that it is ignored."""
        return self.age >= STALE_SECONDS

    def __str__(self) -> str:
        return f"{self.path} is {self.age:.0f} s old and ignored: remove it if no git runs"


@dataclass
class GitLockMonitor:
    """Looks for the lock again and again, and knows how old it is.

    ``clock`` is compared with modification times; ``timer`` only rises.
    """

    root: Path
    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    _seen: dict[tuple[Path, int, int], float] = field(default_factory=dict)

    def find(self, folders: Iterable[str] = ()) -> GitLock | None:
        """Return the lock that is held, a stale one only where no other is; None without any.

        ``folders`` are relative to the root; work trees of their own there count too.
        """
        found: list[GitLock] = []
        seen: dict[tuple[Path, int, int], float] = {}
        for path in find_git_locks(self.root, folders):
            try:
                status = os.stat(path)  # noqa: PTH116 - a path like any other here
            except OSError:
                continue  # Git has just released it.
            key = path, status.st_ino, status.st_mtime_ns
            # A clock that runs behind the file server's must not make a lock eternal.
            seen[key] = self._seen.get(key, self.timer())
            age = max(self.clock() - status.st_mtime, self.timer() - seen[key], 0.0)
            found.append(GitLock(path, age))
        self._seen = seen
        return min(found, key=lambda lock: lock.age, default=None)


def find_git_locks(directory: Path, folders: Iterable[str] = ()) -> list[Path]:
    """Return the index locks of the git work trees around ``directory`` that git holds.

    While one exists git is in the middle of a checkout, merge or reset. The path as it was
    given counts, and the path that links resolve to. ``folders`` below the directory may be
    work trees of their own, such as submodules.
    """
    resolved = Path(os.path.realpath(directory))
    candidates = {_lock_around(directory), _lock_around(resolved)}
    candidates |= {_lock_in(resolved / folder) for folder in _with_parents(folders)}
    # Not Path's own test: it raises where another user's folder cannot be looked into.
    return sorted(lock for lock in candidates if lock and os.path.exists(lock))  # noqa: PTH110


def find_git_lock(directory: Path) -> Path | None:
    """Return the first index lock around ``directory``; None if git holds none."""
    return next(iter(find_git_locks(directory)), None)


def find_git_directory(directory: Path) -> tuple[Path, Path] | None:
    """Return the top of the work tree around ``directory`` and its git directory, if any."""
    for folder in (directory, *directory.parents):
        git = _git_directory_of(folder)
        if git is not None:
            return folder, git
    return None


def _lock_around(directory: Path) -> Path | None:
    found = find_git_directory(directory)
    return found[1] / "index.lock" if found else None


def _lock_in(folder: Path) -> Path | None:
    git = _git_directory_of(folder)
    return git / "index.lock" if git else None


def _with_parents(folders: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for folder in folders:
        path = folder
        while path and path not in found:
            found.add(path)
            path = path.rpartition("/")[0]
    return found


def _git_directory_of(folder: Path) -> Path | None:
    """Return the git directory of a work tree's top; None where the folder is no such top.

    Linked work trees and submodules have it elsewhere, where their file ``.git`` says.
    """
    git = folder / ".git"
    if os.path.isfile(git):  # noqa: PTH113
        return _linked_directory(git)
    return git if os.path.isdir(git) else None  # noqa: PTH112


def _linked_directory(file: Path) -> Path:
    """Return where ``gitdir: PATH`` in a file ``.git`` leads; the file itself if nowhere."""
    try:
        word, _, path = read_regular(file, 8192, follow=True).partition(b":")
    except OSError:
        return file
    target = os.fsdecode(path.strip())
    return file.parent / target if word == b"gitdir" and target and "\0" not in target else file
