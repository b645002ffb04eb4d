"""``revert`` and ``undo``: what they say, store, and write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import refused
from support.master import fill, ttp

from eventstore import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


@pytest.fixture
def rules(run: Run, tmp_path: Path) -> Path:
    """Sync one rule, and again once it was edited; return its directory."""
    root = fill(tmp_path / "rules", {"1.yml": ttp("R1")})
    run("sync", "rules", "--once")
    run("tag", "good")
    fill(root, {"1.yml": ttp("R1", "bad")})
    run("sync", "rules", "--once")
    return root


def test_a_revert_shows_the_diff_and_warns_of_the_next_sync(run: Run, rules: Path) -> None:
    done = run("revert", "R1", "--to", "good", "--reason", "fires\x1b[31m")
    assert done.returncode == 0
    assert "-name: bad\n+name: first\n" in done.stdout
    assert "R1: restored by 1 event, position 4" in done.stdout
    assert "the next sync of" in done.stderr
    assert "name: bad" in (rules / "1.yml").read_text()
    history = run("history", "R1").stdout
    assert "reverted to 1: fires\\x1b[31m" in history
    assert "nothing to revert" in run("revert", "R1", "--to", "good").stdout
    run("sync", "rules", "--once")
    assert json.loads(run("rules", "--json").stdout)["name"] == "bad"


def test_a_revert_with_write_puts_the_files_back(run: Run, rules: Path) -> None:
    done = run("revert", str(rules), "--to", "good", "--write", "--json")
    assert json.loads(done.stdout) == {
        "target": str(rules), "position": 4, "events": 1, "files": 1,
    }  # fmt: skip
    assert "name: first" in (rules / "1.yml").read_text()
    assert json.loads(run("sync", "rules", "--once", "--json").stdout)["position"] is None


def test_files_that_cannot_be_written_are_refused_before_or_told_after_the_events(
    run: Run, rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd" / "1.yml").mkdir(parents=True)
    words = ("revert", "R1", "--to", "good", "--write")
    assert "1.yml is a directory" in refused(run, *words, "--directory", "odd")
    assert "name: bad" in run("show", "R1").stdout  # nothing was appended

    def full(*_: object) -> None:
        raise StorageError(str(rules / "1.yml"), "No space left on device")

    monkeypatch.setattr("projections.rules.sources.put_back.writing", full)
    done = run(*words)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "the events are appended, up to position 4, but not all files" in done.stderr
    assert "the next sync of" in done.stderr


def test_undo_takes_one_commit_back(run: Run, rules: Path) -> None:
    assert rules.is_dir()
    assert "restored by 1 event" in run("undo", "3", "--yes").stdout
    assert json.loads(run("rules", "--json").stdout)["name"] == "first"
    assert "has changed since" in refused(run, "undo", "3")
    assert "cannot be reverted" in refused(run, "undo", "2")


def test_what_cannot_be_reverted_says_why(run: Run, rules: Path) -> None:
    assert rules.is_dir()
    run("append", "order/1", "Placed")
    assert "neither a rule nor a source" in refused(run, "revert", "order/1", "--to", "1")
    assert "beyond the head" in refused(run, "revert", "R1", "--to", "99")
    assert run("revert", "R1", "--to", "good", "--directory", "x").returncode == 2
    assert run("revert", "R1").returncode == 2
