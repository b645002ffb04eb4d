"""Killed at any point, a projection ends in the right directory all the same."""

import random
import signal
from pathlib import Path

import pytest
from support.processes import run
from support.rule_log import LOG_ID, RuleLog, expected_files, files_below, random_commits

from projections import DirectoryProjection
from projections.directory.manifest import read_tree

SEED = 20
COMMITS = 8


def run_child(root: Path, count: int, fatal: int) -> int:
    """Apply so many commits in another process that dies at its ``fatal``-th change."""
    return run("dying_directory", root, SEED, count, fatal).returncode


def check_repaired(root: Path, count: int, batch: int) -> None:
    """Go on in this process, and compare with the model. A stranger's file has stayed."""
    log = RuleLog(random_commits(SEED, count))
    live = DirectoryProjection(root)
    live.open(LOG_ID)
    log.feed(live, [batch])
    assert live.damaged() == []
    assert live.strangers() == ["keep.txt"]
    live.close()
    expected = expected_files(log.commits)
    assert read_tree(root) == (log.cursor(), expected)
    assert files_below(root) == {**expected, "keep.txt": b"a stranger's"}


@pytest.mark.promise("projection")
@pytest.mark.parametrize("rounds", [4, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("repaired_each_time", [True, False])
def test_killed_at_random_moments_it_ends_where_the_model_says(
    repaired_each_time: bool, rounds: int, root: Path
) -> None:
    dice = random.Random(SEED)
    live = DirectoryProjection(root)
    live.open(LOG_ID)
    live.close()
    (root / "keep.txt").write_text("a stranger's")
    killed = 0
    for number in range(1, rounds + 1):
        code = run_child(root, number * COMMITS, dice.randint(1, 120))
        assert code in {0, -signal.SIGKILL}
        killed += code != 0
        if repaired_each_time or number == rounds:
            check_repaired(root, number * COMMITS, dice.randint(1, 3))
    assert killed > rounds // 2
