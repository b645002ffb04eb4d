"""A step of publishing that fails, before or after its effect, is repeated by the next try."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.journalled import journal_small_ones
from support.rule_log import LOG_ID, Change, RuleLog, expected_files

from eventstore.errors import StorageError
from projections import DirectoryProjection
from projections.directory._safe_tree import SafeTree
from projections.directory.manifest import read_tree

if TYPE_CHECKING:
    from pathlib import Path

STEPS: Final = ("stage", "place", "append", "remove", "sync")
COMMITS: Final = [
    [Change("R1", "a.yml", b"1"), Change("R2", "d/b.yml", b"2")],
    [Change("R2", "d/b.yml", b"3")],
    [Change("R3", "e/new.yml", b"3"), Change("R1", "a.yml", b"3")],
    [Change("R3", "e/new.yml", b"4")],
    [Change("R2"), Change("R4", "d", b"5")],
    [Change("R4", "d", b"6")],
    [Change("R5", "f.yml", b"7")],
]


class Failure:
    """Fails the ``at``-th step of every tree; ``late``, once it is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, *, late: bool) -> None:
        self.left = at
        self._late = late
        for name in STEPS:
            monkeypatch.setattr(SafeTree, name, self._failing(getattr(SafeTree, name)))

    def _failing(self, real: Any) -> Any:
        def step(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == 0 and not self._late:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            fails = self.left == 0
            done = real(*args, **kwargs)
            if fails:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return done

        return step


def publish(live: DirectoryProjection, log: RuleLog, *, reopens: bool) -> int:
    """Apply each commit on its own, again where a step fails; return how many failed."""
    failed = 0
    for number, changes in enumerate(COMMITS):
        log.commit(*changes)
        for _ in range(3):
            try:
                if number == 4:
                    live.compact()
                log.feed(live)
                break
            except StorageError:
                failed += 1
                if reopens:
                    live.close()
                    live.open(LOG_ID)
    return failed


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("reopens", [False, True])
@pytest.mark.parametrize("stride", [13, pytest.param(2, marks=pytest.mark.slow)])
def test_a_step_that_fails_is_repeated(
    stride: int, reopens: bool, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_small_ones(monkeypatch)
    at, failed = 1, 1
    while failed:
        root = tmp_path / str(at)
        log, live = RuleLog(), DirectoryProjection(root, fsync=False)
        live.open(LOG_ID)
        (root / "keep.txt").write_text("a stranger's")
        with monkeypatch.context() as patched:
            failure = Failure(patched, at, late=late)
            failed = publish(live, log, reopens=reopens)
            failure.left = 0
        live.close()
        live.open(LOG_ID)
        assert (live.set_aside, live.strangers(), live.damaged()) == ((), ["keep.txt"], [])
        live.close()
        assert read_tree(root) == (log.cursor(), expected_files(log.commits))
        at += stride
    assert at > 50
