"""Deciding when a directory has come to rest, so that one edit is one change.

Editors save in several steps (truncate and write, delete and create, write and rename) and
a checkout touches many files. What looks like an edit in progress (a file gone, empty or
broken) waits longer than what is whole.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class SettleTimes:
    """How long, in seconds, nothing may move before a change is committed.

    ``whole`` for changes that are complete by themselves; ``hasty`` where files are gone,
    empty or broken; ``longest`` is when a directory that never rests is taken as it is.
    """

    whole: float = 0.01
    hasty: float = 0.2
    longest: float = 10.0


@dataclass
class Settle:
    """One wait for rest. ``clock`` gives seconds that only rise."""

    times: SettleTimes
    clock: Callable[[], float] = time.monotonic
    _last: Any = None
    _since: float = field(init=False)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self._began = self.clock()

    def wait(self, seen: Any, *, hasty: bool, busy: bool) -> float:
        """Return the seconds to wait before looking again; 0 once it is at rest.

        ``seen`` is what the latest look found, compared with the look before. ``busy``
        says that somebody announced more to come, or that a file changed while it was
        read.
        """
        now = self.clock()
        if seen != self._last:
            self._last, self._since = seen, now
        if now - self._began >= self.times.longest:
            return 0.0
        needed = self.times.hasty if hasty else self.times.whole
        if busy:
            return needed
        return max(0.0, self._since + needed - now)


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
