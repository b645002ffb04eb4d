"""The sources of rules on the command line: single syncs, rejections and names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.master import fill, ttp

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Give two good files and a bad one."""
    files = {"a.yml": ttp("A"), "b.yml": ttp("B"), "bad.yml": "- nonsense\n"}
    return fill(tmp_path / "rules", files)


@pytest.mark.promise("sources")
def test_a_rejection_fails_a_single_sync_each_time_and_names_file_and_reason(
    run: Run, rules: Path
) -> None:
    for _ in range(2):
        done = run("sync", "rules", "--once")
        assert done.returncode == 1
        assert "rules/bad.yml:1: rule must be a mapping" in done.stderr
        assert "1 file rejected" in done.stderr
    report = json.loads(run("sync", "rules", "--once", "--json").stdout)
    assert report["rejections"][0]["path"] == "bad.yml"
    (rules / "bad.yml").unlink()
    assert run("sync", "rules", "--once").returncode == 0


def test_status_names_what_is_rejected_by_source_with_its_age(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once", "--source", "mine")
    fill(rules.parent / "more", {"worse.yml": "- nonsense\n"})
    run("sync", "more", "--once")
    assert run("status").returncode == 0
    shown = [line for line in run("status").stdout.splitlines() if line.startswith("rejected in")]
    assert len(shown) == 2
    assert "more for " in shown[0]
    assert "source mine for " in shown[1]
    assert "s: bad.yml:1: rule must be a mapping" in shown[1]
    found = json.loads(run("status", "--json").stdout)["rejections"]
    assert [(one["source"], one["path"]) for one in found][1] == ("mine", "bad.yml")
    (rules / "bad.yml").unlink()
    run("sync", "rules", "--once", "--source", "mine")
    assert len(json.loads(run("status", "--json").stdout)["rejections"]) == 1


def test_a_source_that_was_named_by_its_path_is_renamed(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    elsewhere = rules.rename(rules.with_name("elsewhere"))
    assert "3 files rejected" in run("sync", "elsewhere", "--once").stderr
    done = run("source", "rename", str(rules), str(elsewhere))
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 rules" in done.stdout
    assert "1 file rejected" in run("sync", "elsewhere", "--once").stderr
    assert "added" in run("history", "A").stdout
    assert "renamed" in run("history", f"source/{rules}").stdout


def test_a_source_is_renamed_by_its_directory_as_sync_was_given_it(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once")
    done = run("source", "rename", "rules", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(": 2 rules, 1 rejection\n")
    assert "1 file rejected" in run("sync", "rules", "--once", "--source", "mine").stderr


@pytest.mark.parametrize("names", [("nothing", "new"), ("rules", "rules"), ("rules", "")])
def test_a_rename_that_cannot_be_is_one_line(run: Run, rules: Path, names: tuple[str, str]) -> None:
    run("sync", "rules", "--once", "--source", "rules")
    done = run("source", "rename", *names)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_several_directories_are_one_commit(run: Run, rules: Path) -> None:
    other = fill(rules.parent / "other", {"c.yml": ttp("C")})
    (rules / "bad.yml").unlink()
    assert run("sync", "rules", "other", "--once").returncode == 0
    (rules / "a.yml").rename(other / "a.yml")
    done = run("sync", "rules", "other", "--once", "--json")
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["defined"], one["removed"]) for one in reports] == [(0, 0), (1, 0)]
    assert reports[0]["position"] == reports[1]["position"]
    assert run("sync", "rules", "other", "--once", "--source", "x").returncode == 2


def test_who_syncs_is_in_the_metadata(run: Run, rules: Path) -> None:
    run("sync", "rules", "--once", "--by", "ana")
    shown = run("history", "A", "--json").stdout
    assert json.loads(shown.splitlines()[0])["metadata"] == {"by": "ana"}


def test_status_counts_only_states_that_are_in_force(run: Run) -> None:
    for rule in ("R1", "R2", "R3", "R4"):
        assert run("state", rule, "disabled", "--until", "2h").returncode == 0
    poison = ["append", "rule-state/R4", "RuleStateSet", '{"state": ["disabled"]}']
    assert run(*poison).returncode == 0
    only_poison = ["append", "rule-state/R5", "RuleStateSet", '{"state": ["disabled"]}']
    assert run(*only_poison).returncode == 0
    assert run("redact", "1", "--reason", "x", "--yes").returncode == 0
    ended = {"rule_id": "R2", "state": {"state": "enabled"}, "ended": 2}
    expired = ["append", "rule-state/R2", "RuleStateExpired", json.dumps(ended)]
    assert run(*expired).returncode == 0
    shown = run("status").stdout
    assert "rules: 0 defined, 2 with a state of their own\n" in shown  # R3, and R4 before the bad.


def test_a_checkout_that_has_moved_is_told_of_renaming(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "old", {"a.yml": ttp("A")})
    assert run("sync", "old", "--once").returncode == 0
    (tmp_path / "old").rename(tmp_path / "new")
    done = run("sync", "new", "--once")
    assert done.returncode == 1
    assert f"'A' is already taken by source '{tmp_path}/old'" in done.stderr
    assert "eventstore source rename" in done.stderr


def test_status_counts_no_rule_whose_definition_was_redacted_and_each_that_stands(
    run: Run, rules: Path
) -> None:
    run("sync", "rules", "--once")  # A and B are events 1 and 2.
    assert "rules: 2 defined" in run("status").stdout
    assert run("append", "rules/A", "Noted", "{}").returncode == 0
    assert "rules: 2 defined" in run("status").stdout
    assert run("redact", "1", "--reason", "leaked", "--yes").returncode == 0
    assert "rules: 1 defined" in run("status").stdout
    assert run("rules", "--json").stdout.count("\n") == 1
    # The definition of B is erased as well, and its file defines it anew.
    assert run("redact", "2", "--reason", "leaked", "--yes").returncode == 0
    assert "rules: 0 defined" in run("status").stdout
    run("sync", "rules", "--once")
    assert "rules: 2 defined" in run("status").stdout
