"""A step of publishing an atomic directory that fails: a whole set stays, and it is repeated."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.atomic_directory import Time, atomic, generations
from support.journalled import journal_small_ones
from support.rule_log import LOG_ID, Change, RuleLog, expected_files, files_below

from eventstore.errors import StorageError
from projections.directory import (
    read_tree,
)
from projections.directory._atomic_link import AtomicLink
from projections.directory._published_tree import LiveTree
from projections.directory._safe_tree import SafeTree

if TYPE_CHECKING:
    from pathlib import Path

    from projections import DirectoryProjection

COMMITS = [
    [Change("R1", "a.yml", b"1"), Change("R2", "d/b.yml", b"2")],
    [Change("R2", "d/b.yml", b"3")],
    [Change("R3", "e/new.yml", b"3"), Change("R1", "a.yml", b"3")],
    [Change("R2"), Change("R4", "d", b"5")],
]
STEPS = [
    *((SafeTree, name) for name in ("stage", "place", "share", "append", "remove", "sync", "lock")),
    *((AtomicLink, name) for name in ("switch", "sync", "_make")),
    (LiveTree, "share"),
]


class Failure:
    """Fails the ``at``-th step of publishing; ``late``, once it is done."""

    def __init__(self, at: int, number: int, *, late: bool) -> None:
        self.left = at
        self._number = number
        self._late = late

    def failing(self, real: Any) -> Any:
        def step(*args: Any, **how: Any) -> Any:
            self.left -= 1
            fails = self.left == 0
            done = real(*args, **how) if self._late or not fails else None
            if fails:
                raise OSError(self._number, os.strerror(self._number))
            return done

        return step


def feed_with(failure: Failure, log: RuleLog, live: DirectoryProjection) -> bool:
    """Apply what is new while a step fails; return whether that was told of."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in STEPS:
            patch.setattr(owner, name, failure.failing(getattr(owner, name)))
        try:
            log.feed(live)
        except StorageError:
            return True
    return False


def feed_again(log: RuleLog, live: DirectoryProjection) -> None:
    try:
        log.feed(live)
    except StorageError:  # The link was switched, and its directory then not synced.
        live.close()
        live.open(LOG_ID)
        log.feed(live)


@pytest.mark.parametrize(("number", "late"), [(errno.ENOSPC, False), (errno.EIO, True)])
@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_step_that_fails_leaves_a_whole_set_and_is_repeated(
    stride: int,
    number: int,
    late: bool,
    tmp_path: Path,
    clock: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal_small_ones(monkeypatch)
    whole = [expected_files(COMMITS[:count]) for count in range(len(COMMITS) + 1)]
    at, failed = 1, True
    while failed:
        root = tmp_path / str(at)
        log, live = RuleLog(), atomic(root)
        live.open(LOG_ID)
        failure, failed = Failure(at, number, late=late), False
        for changes in COMMITS:
            log.commit(*changes)
            failed |= feed_with(failure, log, live)
            assert not root.is_symlink() or files_below(root) in whole
            clock.seconds += 6
            feed_again(log, live)
            assert read_tree(root, attempts=1) == (log.cursor(), expected_files(log.commits))
        live.close()
        clock.seconds += 10
        live.open(LOG_ID)
        assert (live.damaged(), live.strangers(), live.set_aside) == ([], [], ())
        live.close()
        assert generations(root) == [root.resolve().name]
        at += stride
    assert at > 30
