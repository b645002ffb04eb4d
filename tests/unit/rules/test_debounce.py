"""When a directory has come to rest: pure arithmetic on an injected clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projections.rules.sources.debounce import Debounce, DebounceTimes
from projections.rules.sources.git_lock import find_git_lock

if TYPE_CHECKING:
    from pathlib import Path

TIMES = DebounceTimes(whole=1.0, incomplete=20.0, longest=1_000.0)


class Seconds:
    """A clock that moves only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def debounce(seconds: Seconds) -> Debounce:
    return Debounce(TIMES, seconds)


def test_a_whole_change_waits_for_its_time_and_no_longer(
    debounce: Debounce, seconds: Seconds
) -> None:
    assert debounce.wait("x", incomplete=False, busy=False) == 1.0
    seconds.now = 0.25
    assert debounce.wait("x", incomplete=False, busy=False) == 0.75
    seconds.now = 1.0
    assert debounce.wait("x", incomplete=False, busy=False) == 0.0


def test_what_may_be_an_edit_in_progress_waits_longer(debounce: Debounce, seconds: Seconds) -> None:
    debounce.wait("x", incomplete=True, busy=False)
    seconds.now = 19.0
    assert debounce.wait("x", incomplete=True, busy=False) == 1.0
    seconds.now = 20.0
    assert debounce.wait("x", incomplete=True, busy=False) == 0.0


def test_a_change_that_leaves_what_was_found_begins_the_wait_again(
    debounce: Debounce, seconds: Seconds
) -> None:
    assert debounce.wait("x", incomplete=False, busy=False) == 1.0
    seconds.now = 0.75
    assert debounce.wait("x", incomplete=False, busy=False, again=True) == 1.0
    seconds.now = 1.25
    assert debounce.wait("x", incomplete=False, busy=False) == 0.5


def test_every_further_change_begins_the_wait_again(debounce: Debounce, seconds: Seconds) -> None:
    for now in range(10):
        seconds.now = float(now)
        assert debounce.wait(now, incomplete=False, busy=False) == 1.0


def test_a_file_that_came_back_ends_the_longer_wait(debounce: Debounce, seconds: Seconds) -> None:
    debounce.wait("gone", incomplete=True, busy=False)
    seconds.now = 5.0
    assert debounce.wait("back", incomplete=False, busy=False) == 1.0


def test_an_announced_change_is_waited_for_however_still_it_is(
    debounce: Debounce, seconds: Seconds
) -> None:
    for now in (0.0, 10.0, 999.0):
        seconds.now = now
        assert debounce.wait("x", incomplete=False, busy=True) > 0


@pytest.mark.parametrize("busy", [True, False])
def test_a_directory_that_never_rests_is_taken_as_it_is_in_the_end(
    debounce: Debounce, seconds: Seconds, busy: bool
) -> None:
    debounce.wait(0, incomplete=True, busy=busy)
    seconds.now = 1_000.0
    assert debounce.wait(1, incomplete=True, busy=busy) == 0.0


def test_a_first_look_that_takes_longer_than_the_limit_comes_to_rest_all_the_same(
    debounce: Debounce, seconds: Seconds
) -> None:
    seconds.now = 5_000.0
    assert debounce.wait("x", incomplete=False, busy=False) == 1.0
    seconds.now = 10_000.0
    assert debounce.wait("x", incomplete=False, busy=False) == 0.0
    assert not debounce.overdue


def test_the_lock_of_the_work_tree_around_is_found(tmp_path: Path) -> None:
    rules = tmp_path / "deep" / "rules"
    rules.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert find_git_lock(rules) is None
    (tmp_path / ".git" / "index.lock").touch()
    assert find_git_lock(rules) == tmp_path / ".git" / "index.lock"
    assert find_git_lock(tmp_path) == tmp_path / ".git" / "index.lock"


def test_the_lock_of_an_outer_work_tree_is_somebody_elses(tmp_path: Path) -> None:
    rules = tmp_path / "inner" / "rules"
    rules.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index.lock").touch()
    (tmp_path / "inner" / ".git").mkdir()
    assert find_git_lock(rules) is None


def test_a_git_folder_that_cannot_be_looked_into_is_no_lock(tmp_path: Path) -> None:
    # Stands for a folder of another user: pathlib's tests would raise OSError here, too.
    (tmp_path / ".git").mkdir()
    deep = tmp_path / "/".join(["d" * 200] * 30)
    assert find_git_lock(deep) is None


def test_the_lock_of_a_linked_work_tree_is_where_its_file_says(tmp_path: Path) -> None:
    rules = tmp_path / "tree" / "rules"
    rules.mkdir(parents=True)
    real = tmp_path / "main" / ".git" / "worktrees" / "tree"
    real.mkdir(parents=True)
    for named in (str(real), "../main/.git/worktrees/tree"):
        (tmp_path / "tree" / ".git").write_text(f"gitdir: {named}\n")
        assert find_git_lock(rules) is None
        (real / "index.lock").touch()
        found = find_git_lock(rules)
        assert found is not None
        assert found.samefile(real / "index.lock")
        (real / "index.lock").unlink()


@pytest.mark.parametrize("content", [b"", b"gitdir:", b"nonsense", b"gitdir: \0", b"gitdir: gone"])
def test_a_git_file_that_leads_nowhere_is_no_lock(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".git").write_bytes(content)
    assert find_git_lock(tmp_path) is None
