"""Atomic directories of real processes: killed at any step, and read while they are switched."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.processes import run
from support.rule_log import LOG_ID, Change, RuleLog, expected_files, files_below, random_commits

from projections import DirectoryProjection
from projections.directory import read_tree

if TYPE_CHECKING:
    from pathlib import Path

SEED = 20
COMMITS = 6
SWITCHES = 50
FILES = 12

READER = """
import os, sys
sys.stdout.write("ready\\n"); sys.stdout.flush()
root, last, seen = sys.argv[1], sys.argv[2].encode(), set()
while last not in seen:
    directory = os.open(root, os.O_RDONLY)
    found = set()
    for name in sorted(os.listdir(directory)):
        if not name.startswith("."):
            file = os.open(name, os.O_RDONLY, dir_fd=directory)
            found.add(os.read(file, 100))
            os.close(file)
    os.close(directory)
    assert len(found) == 1, found
    seen.add(found.pop())
print(len(seen))
"""


@pytest.mark.promise("projection")
@pytest.mark.parametrize("rounds", [4, pytest.param(25, marks=pytest.mark.slow)])
def test_what_a_kill_leaves_is_a_whole_set_and_goes_on(rounds: int, root: Path) -> None:
    dice, killed = random.Random(SEED), 0
    for number in range(1, rounds + 1):
        count = number * COMMITS
        log = RuleLog(random_commits(SEED, count))
        ends = {log.cursor(sum(map(len, log.commits[:n]))): n for n in range(count + 1)}
        code = run("dying_directory", root, SEED, count, dice.randint(1, 150), 1).returncode
        assert code in {0, -signal.SIGKILL}
        killed += code != 0
        if root.exists():
            # Its manifest may be of a position before or after it, with the same files.
            cursor, files = read_tree(root, attempts=1)
            assert files == expected_files(log.commits[: ends[cursor]]) == files_below(root)
    live = DirectoryProjection(root, grace_seconds=0.001)
    live.open(LOG_ID)
    log.feed(live)
    assert (live.damaged(), live.strangers()) == ([], [])
    live.close()
    assert read_tree(root) == (log.cursor(), expected_files(log.commits))
    assert killed > rounds // 2


@pytest.mark.promise("projection")
def test_readers_in_a_loop_never_see_a_mixed_set(root: Path, log: RuleLog) -> None:
    def publish(text: str) -> None:
        log.commit_into(live, *(Change(f"R{n}", f"f{n}", text.encode()) for n in range(FILES)))

    live = DirectoryProjection(root, atomic=True, fsync=False, grace_seconds=3_600)
    live.open(LOG_ID)
    publish("first")
    words = [sys.executable, "-c", READER, str(root), "last"]
    readers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        for number in range(SWITCHES):
            publish(f"{number}")
        publish("last")
        for reader in readers:
            assert int(reader.communicate()[0]) > 0
            assert reader.returncode == 0
    finally:
        for reader in readers:
            reader.kill()
    live.close()
