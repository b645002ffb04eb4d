"""A projected directory whose file system fails, beside a master that goes on."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.commands import Run, Running, runner
from support.file_systems import mounted
from support.journalled import journal_small_ones, lines_in
from support.rule_log import LOG_ID, Change, RuleLog, expected_files
from support.waiting import wait_until

from eventstore.errors import StorageError
from projections import DirectoryProjection
from projections.directory.manifest import read_tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

RULE = "rule_id: {0}\nrule_version: 1\nenabled: true\ndescription: {1}\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 256 KiB."""
    with mounted(tmp_path / "disk", "256k") as place:
        yield place


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Give a directory with a rule."""
    place = tmp_path / "rules"
    place.mkdir()
    (place / "a.yml").write_text(RULE.format("R1", "first"))
    return place


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runner(tmp_path)


@pytest.fixture
def up(tmp_path: Path, rules: Path) -> Iterator[Running]:
    """Run the master, keeping ``disk/live``."""
    words = ["up", "--rules", rules.name, "--to", "disk/live", "--format", "raw"]
    running = Running(words, tmp_path)
    yield running
    running.process.kill()
    running.process.communicate()


@pytest.fixture
def live(disk: Path, up: Running) -> Path:
    """Give the directory that the master keeps, with the first rule in it."""
    up.lines_until("    1  ")
    live = disk / "live"
    wait_until((live / "a.yml").exists)
    return live


def trouble(run: Run) -> str:
    """Return what ``status`` says of projections that fail; the source itself is well."""
    status = json.loads(run("status", "--json").stdout)
    assert [source["trouble"] for source in status["sources"]] in ([], [""])
    return "".join(one["reason"] for one in status["projections"])


def fill(disk: Path) -> Path:
    """Leave no space; return the file that takes it."""
    ballast = disk / "ballast"
    dd = ["dd", "if=/dev/zero", f"of={ballast}", "bs=4096"]
    assert subprocess.run(dd, capture_output=True, check=False).returncode, "it is not full"
    return ballast


def test_a_full_disk_leaves_the_master_and_heals(
    disk: Path, rules: Path, up: Running, live: Path, run: Run
) -> None:
    ballast = fill(disk)
    (rules / "b.yml").write_text(RULE.format("R2", "x" * 20_000))
    up.lines_until("    2  ")
    wait_until(lambda: "No space left" in trouble(run))
    (rules / "c.yml").write_text(RULE.format("R3", "third"))
    up.lines_until("    3  ")
    ballast.unlink()
    wait_until((live / "b.yml").exists)
    wait_until((live / "c.yml").exists)
    wait_until(lambda: not trouble(run))
    assert up.interrupt() == 0


def test_a_root_that_is_removed_and_one_that_is_read_only_come_back(
    disk: Path, rules: Path, up: Running, live: Path, run: Run
) -> None:
    shutil.rmtree(live)
    wait_until((live / "a.yml").exists)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    (rules / "b.yml").write_text(RULE.format("R2", "second"))
    up.lines_until("    2  ")
    wait_until(lambda: os.strerror(errno.EROFS) in trouble(run))
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    wait_until((live / "b.yml").exists)
    assert up.interrupt() == 0


def test_a_disk_that_is_full_of_log_and_view_is_told_of_all_the_same(
    disk: Path, rules: Path, tmp_path: Path
) -> None:
    run = runner(disk)
    assert run("sync", str(rules), "--once", "--format", "raw").returncode == 0
    running = Running(["project", "live"], disk)
    try:
        wait_until((disk / "live" / "a.yml").exists)
        (disk / "live" / "a.yml").unlink()
        ballast = fill(disk)
        wait_until(lambda: "No space left" in trouble(run))
        ballast.unlink()
        wait_until((disk / "live" / "a.yml").exists)
        wait_until(lambda: not trouble(run))
        assert running.interrupt() == 0
    finally:
        running.process.kill()
        running.process.communicate()


def test_a_journal_on_a_full_and_on_a_read_only_disk_loses_nothing(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_small_ones(monkeypatch)
    log, live = RuleLog(), DirectoryProjection(disk / "live")
    live.open(LOG_ID)
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    for number in range(3):
        log.commit_into(live, Change("R2", "b.yml", b"%d" % number))
    assert lines_in(live.root) > 0
    ballast = fill(disk)
    before = read_tree(live.root)
    log.commit(Change("R1", "a.yml", b"x" * 20_000), Change("R3", "c.yml", b"3"))
    with pytest.raises(StorageError, match="No space left"):
        log.feed(live)
    assert read_tree(live.root) == before
    ballast.unlink()
    log.feed(live)
    assert read_tree(live.root) == (log.cursor(), expected_files(log.commits))
    log.commit_into(live, Change("R1", "a.yml", b"2"))
    assert lines_in(live.root) > 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    before = read_tree(live.root)
    log.commit(Change("R1", "a.yml", b"3"))
    for call in (live.compact, lambda: log.feed(live)):
        with pytest.raises(StorageError, match=os.strerror(errno.EROFS)):
            call()
    live.close()
    assert read_tree(live.root) == before
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    live.open(LOG_ID)
    assert (live.position, live.set_aside) == (before[0].position, ())
    log.feed(live)
    live.close()
    assert read_tree(live.root) == (log.cursor(), expected_files(log.commits))
