"""``diff``, ``blame`` and ``--at``: what was, and what differs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import refused
from support.master import fill, ttp

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

OVERRIDE = "\u202e"
HOSTILE = f"\x1b[31m[bold]red{OVERRIDE}"


@pytest.fixture
def edited(run: Run, tmp_path: Path) -> None:
    """Sync three rules; then change, move, remove and add one, and switch one off."""
    root = fill(tmp_path / "rules", {f"{n}.yml": ttp(f"R{n}") for n in (1, 2, 3)})
    run("sync", "rules", "--once", "--by", "ana")
    run("tag", "before")
    (root / "1.yml").write_text(ttp("R1", "second") + f"# {OVERRIDE}\n")
    (root / "2.yml").rename(root / "moved.yml")
    (root / "3.yml").unlink()
    fill(root, {"4.yml": ttp("R4")})
    run("sync", "rules", "--once", "--by", "bob")
    run("state", "R1", "disabled", "--reason", HOSTILE)


def values(run: Run, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(*words, "--json").stdout.splitlines()]


@pytest.mark.usefixtures("edited")
def test_diff_tells_what_was_added_removed_changed_moved_and_switched(run: Run) -> None:
    found = values(run, "diff", "before")
    assert [(one["kind"], one["rule_id"]) for one in found] == [
        ("added", "R4"), ("removed", "R3"), ("changed", "R1"), ("moved", "R2"), ("state", "R1"),
    ]  # fmt: skip
    assert "+name: second" in found[2]["diff"]
    assert found[3]["diff"] == []
    shown = run("diff", "before", "now").stdout
    assert "moved    R2  2.yml -> moved.yml  +0 -0" in shown
    assert "-name: first\n+name: second\n" in shown
    assert "--- a/3.yml\n+++ /dev/null\n" in shown
    assert "+state: disabled" in shown
    assert "\x1b" not in shown
    assert OVERRIDE not in shown
    assert "1 added, 1 removed, 1 changed, 1 moved, 1 with another state" in shown
    assert "+name" not in run("diff", "before", "--stat").stdout
    assert [one["kind"] for one in values(run, "diff", "before", "--rule", "R1")] == [
        "changed", "state",
    ]  # fmt: skip
    assert "nothing differs" in run("diff", "before", "before").stdout
    assert "was there neither" in refused(run, "diff", "before", "--rule", "none")


@pytest.mark.usefixtures("edited")
def test_rules_and_their_files_are_shown_as_of_a_moment(run: Run, tmp_path: Path) -> None:
    assert [one["rule_id"] for one in values(run, "rules", "--at", "before")] == ["R1", "R2", "R3"]
    assert [one["rule_id"] for one in values(run, "rules", "--at", "now")] == ["R1", "R2", "R4"]
    assert values(run, "rules", "--at", "now") == values(run, "rules")
    assert "there were no rules at 0" in run("rules", "--at", "0").stdout
    assert run("rules", "--at", "0", "--from", "x").returncode == 2
    run("project", "then", "--at", "before")
    assert {path.name for path in (tmp_path / "then").glob("*.yml")} == {"1.yml", "2.yml", "3.yml"}
    assert "present state only" in refused(run, "views", "--at", "before")


@pytest.mark.usefixtures("edited")
def test_history_shows_what_each_change_did_to_the_file(run: Run) -> None:
    shown = run("history", "R1", "--diff").stdout
    assert "--- /dev/null\n+++ b/1.yml\n" in shown
    assert "-name: first\n+name: second\n" in shown
    assert OVERRIDE not in shown
    found = values(run, "history", "rule/R3", "--diff")
    assert [one["type"] for one in found] == ["RuleDefined", "RuleRemoved"]
    assert found[1]["diff"][:2] == ["--- a/3.yml", "+++ /dev/null"]
    assert "-name: first" in found[1]["diff"]
    assert "name: first" not in run("history", "rule/R3").stdout


@pytest.mark.usefixtures("edited")
def test_blame_says_who_brought_each_line(run: Run) -> None:
    lines = values(run, "blame", "R1")
    assert {line["text"]: line["who"] for line in lines} == {
        "rule_id: R1": "ana", "rule_version: 1": "ana", "name: second": "bob",
        "applies_to: [process]": "ana", "match: {image: cmd.exe}": "ana",
        "emits: [{tactic: execution, technique_id: T1059, confidence: 0.5}]": "ana",
        f"# {OVERRIDE}": "bob",
    }  # fmt: skip
    assert {line["who"] for line in values(run, "blame", "R1", "--at", "before")} == {"ana"}
    shown = run("blame", "R1").stdout
    assert OVERRIDE not in shown
    assert len(shown.splitlines()) == len(lines)
    assert "no such rule" in refused(run, "blame", "R3")
