"""One process owns a directory: a second process is refused, a forked child keeps nothing."""

import os
import subprocess
from pathlib import Path

import pytest
from support.journalled import journal_small_ones, lines_in
from support.processes import run
from support.rule_log import LOG_ID, Change, RuleLog

from projections import DirectoryProjection


def test_a_second_process_is_refused(root: Path, live: DirectoryProjection) -> None:
    done = run("directory_opener", root, stderr=subprocess.PIPE)
    assert b"ProjectionBusyError" in done.stderr


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_its_parents_directory(
    root: Path, live: DirectoryProjection
) -> None:
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    live.close()
    again = DirectoryProjection(root)
    try:
        again.open(LOG_ID)
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
        for end in (*ready, *done):
            os.close(end)
    again.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_that_closes_its_parents_directory_writes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, log: RuleLog
) -> None:
    journal_small_ones(monkeypatch)
    live = DirectoryProjection(root)
    live.open(LOG_ID)
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    assert lines_in(root) == 1
    child = os.fork()
    if child == 0:
        try:
            live.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert lines_in(root) == 1
    live.close()
    assert lines_in(root) == -1
