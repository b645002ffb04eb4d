"""The commands that check a log, and that erase."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, Run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def log(run: Run, tmp_path: Path) -> Path:
    """Give a log of the sample rules, and a directory that is projected from it."""
    shutil.copytree(REPOSITORY / "config" / "rules" / "ttp", tmp_path / "rules")
    assert run("sync", "rules", "--once").returncode == 0
    assert run("project", "live", "--once").returncode == 0
    return tmp_path / "eventstore.db"


def test_a_log_is_as_written_until_somebody_changes_it(run: Run, log: Path) -> None:
    done = run("verify", "--view", "live")
    assert done.returncode == 0, done.stderr
    assert "16 events up to position 16: all as written" in done.stdout
    anchor = done.stdout.split("anchor: ")[1].strip()
    assert run("verify", "--anchor", anchor).returncode == 0
    with closing(sqlite3.connect(log)) as connection:
        connection.execute("DROP TRIGGER event_immutable")
        connection.execute("UPDATE event SET type = 'Other' WHERE position = 3")
        connection.commit()
    done = run("verify", "--json")
    assert done.returncode == 1
    *findings, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [finding["finding"]["position"] for finding in findings] == [None, 3]
    assert summary["findings"] == 2


def test_what_is_redacted_is_gone_and_the_log_is_in_order(
    run: Run, log: Path, tmp_path: Path
) -> None:
    done = run("redact", "2", "--reason", "a request", "--by", "ana")
    assert "RuleDefined at 2, rule/R1002 by ana (a request)" in done.stdout
    assert "before" in run("redact", "2", "--reason", "again").stderr
    assert run("redact", "17", "--reason", "no").returncode == 1
    assert run("project", "live", "--once").returncode == 0
    assert not (tmp_path / "live" / "office_spawns_shell.yml").exists()
    assert run("verify", "--view", "live").returncode == 0


def test_a_view_of_another_log_is_found(run: Run, log: Path, tmp_path: Path) -> None:
    other = ("--url", "sqlite:///other.db")
    assert run("sync", "rules", "--once", *other).returncode == 0
    assert run("rebuild", "rules", "--database", "sqlite:///v.db", *other).returncode == 0
    done = run("verify", "--view", "sqlite:///v.db", "--view", "live", "--view", "nowhere")
    assert done.returncode == 1
    assert "view 'rules' in sqlite:///v.db" in done.stdout
    assert "view nowhere" in done.stdout
    assert "in live" not in done.stdout


@pytest.mark.parametrize("length", [0, 100, 5_000, 20_000])
def test_a_broken_file_is_told_in_a_line(run: Run, log: Path, tmp_path: Path, length: int) -> None:
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"x" * 100 if length == 0 else log.read_bytes()[:length])
    done = run("verify", "--url", "sqlite:///broken.db")
    assert (done.returncode, done.stderr) == (1, "")
    assert str(broken) in done.stdout


def test_a_log_that_is_not_there_is_no_log_in_order(run: Run, tmp_path: Path) -> None:
    done = run("verify", "--url", "sqlite:///missing.db")
    assert done.returncode == 1
    assert done.stderr == f"error: no log at {tmp_path}/missing.db\n"
    assert not (tmp_path / "missing.db").exists()
    assert run("verify", "--anchor", "nonsense").returncode == 1
