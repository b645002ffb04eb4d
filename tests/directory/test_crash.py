"""Killed at any point, a projection ends in the right directory all the same."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.rule_log import LOG_ID, RuleLog, expected_files, files_below, random_commits

from projections import DirectoryProjection
from projections.directory.manifest import read_tree

SEED = 20
ROUNDS = 30
COMMITS = 8
CHILD = """
import os, random, signal, sys
from support.rule_log import LOG_ID, RuleLog, random_commits
from projections import DirectoryProjection

root, seed, count, fatal = sys.argv[1], *map(int, sys.argv[2:])
CHANGES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "open"}
seen = 0

def watch(event, args):
    global seen
    if event in CHANGES:
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

log = RuleLog(random_commits(seed, count))
dice = random.Random(fatal)
live = DirectoryProjection(root)
sys.addaudithook(watch)
live.open(LOG_ID)
log.feed(live, [dice.randint(1, 4) for _ in range(8)])
live.close()
"""


def run_child(root: Path, count: int, fatal: int) -> int:
    """Apply so many commits in another process that dies at its ``fatal``-th change."""
    arguments = [str(root), str(SEED), str(count), str(fatal)]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode


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


@pytest.mark.parametrize("repaired_each_time", [True, False])
def test_killed_at_random_moments_it_ends_where_the_model_says(
    repaired_each_time: bool, root: Path
) -> None:
    dice = random.Random(SEED)
    live = DirectoryProjection(root)
    live.open(LOG_ID)
    live.close()
    (root / "keep.txt").write_text("a stranger's")
    killed = 0
    for number in range(1, ROUNDS // 2 + 1):
        code = run_child(root, number * COMMITS, dice.randint(1, 120))
        assert code in {0, -signal.SIGKILL}
        killed += code != 0
        if repaired_each_time or number == ROUNDS // 2:
            check_repaired(root, number * COMMITS, dice.randint(1, 3))
    assert killed > ROUNDS // 4
