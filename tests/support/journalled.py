"""Directories that are published by a journal, however small, and what they are at each step."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from projections.directory import _publisher, commit_journal
from projections.directory.commit_journal import JOURNAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

STEPS: Final = frozenset({"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "open"})
"""The audit events of what changes a file system, as far as there are any."""


def journal_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have directories of any size published by a journal, with no time at which it ends."""
    monkeypatch.setattr(_publisher, "SMALL_BYTES", 0)
    monkeypatch.setattr(_publisher, "WHOLE_SECONDS", 3_600.0)


def lines_in(root: Path) -> int:
    """Return how many lines a directory's journal has; -1 without a journal."""
    path = root / JOURNAL
    journal = commit_journal.decode(path.read_bytes()) if path.exists() else None
    return -1 if journal is None else len(journal.lines)


class _Copies:
    """Copies a directory at each change that the process makes; an audit hook stays for ever."""

    def __init__(self) -> None:
        self.root: Path | None = None
        self.target: Path | None = None
        self.count = 0

    def __call__(self, event: str, _: tuple[object, ...]) -> None:
        if event not in STEPS or self.root is None or self.target is None:
            return
        root, self.root = self.root, None  # What copying does is no step.
        try:
            self._copy(root, self.target)
        finally:
            self.root = root

    def _copy(self, root: Path, target: Path) -> None:
        copy = target / str(self.count)
        shutil.copytree(root, copy)
        if self.count and _same(copy, target / str(self.count - 1)):
            shutil.rmtree(copy)
        else:
            self.count += 1


def _same(one: Path, other: Path) -> bool:
    return _contents(one) == _contents(other)


def _contents(root: Path) -> dict[Path, bytes]:
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root): path.read_bytes() for path in found}


@cache
def _copies() -> _Copies:
    copies = _Copies()
    sys.addaudithook(copies)
    return copies


@contextmanager
def copied_at_each_step(root: Path, target: Path) -> Iterator[None]:
    """Copy what a killed process would leave of ``root`` to ``target/0``, ``target/1``, …."""
    target.mkdir()
    copies = _copies()
    copies.root, copies.target, copies.count = root, target, 0
    try:
        yield
    finally:
        copies.root = None
