"""The offline check: it says what the master would, and only then passes."""

from __future__ import annotations

import importlib.util
import json
import socket
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, Run
from support.master import fill, rejected, standing, ttp

from eventstore import EventStore
from projections.rules import RuleSync, SourceError
from projections.rules.sources.check import check_rules

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = (REPOSITORY / "config" / "broken-rule.yml").read_text()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(tmp_path / "rules", {"a.yml": ttp("A"), "sub/b.yml": ttp("B")})


def test_good_rules_are_counted_with_status_0(run: Run, root: Path, tmp_path: Path) -> None:
    done = run("check", "rules")
    assert (done.returncode, done.stdout) == (0, "2 rules are good\n")
    assert [path.name for path in tmp_path.iterdir()] == ["rules"]


def test_each_finding_is_a_line_with_file_line_and_reason(run: Run, root: Path) -> None:
    fill(root, {"broken.yml": BROKEN, "sub/again.yml": ttp("A")})
    done = run("check", "rules")
    assert done.returncode == 1
    broken, taken = done.stdout.splitlines()
    assert broken == "rules/broken.yml:19: rule R1099: emits[1].confidence is missing"
    assert taken.startswith("rules/sub/again.yml: rule id 'A' is already taken by 'a.yml'")
    assert done.stderr == "2 findings; 2 rules are good\n"


def test_json_is_one_value_a_line_with_the_totals_last(run: Run, root: Path) -> None:
    fill(root, {"broken.yml": BROKEN, "sub/again.yml": ttp("A")})
    done = run("--json", "check", "rules")
    *findings, totals = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(found["file"], found["line"]) for found in findings] == [
        ("rules/broken.yml", 19),
        ("rules/sub/again.yml", None),
    ]
    assert totals == {"good": 2, "findings": 2, "ignored": 0}
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    "words", [["check"], ["check", "missing"], ["check", "rules", "--format", "yara"]]
)
def test_wrong_usage_is_no_finding(run: Run, root: Path, words: list[str]) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_finding_nothing_to_check_does_not_pass(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "rules", {"notes.txt": "no rule"})
    done = run("check", "rules")
    assert done.returncode == 1
    assert "holds no file that the format 'ttp' reads" in done.stderr


def test_a_directory_that_never_rests_is_not_judged(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.rules.sources.scan.Scanner.read", lambda *_: None)
    with pytest.raises(SourceError, match="come to rest"):
        check_rules(root)


@pytest.mark.anyio
async def test_the_check_and_the_master_never_disagree(root: Path) -> None:
    fill(root, {"broken.yml": BROKEN, "c.yml": ttp("B"), "empty.yml": "", "d.yml": "a: [\x00"})
    report = check_rules(root)
    async with EventStore.open("memory://") as store:
        await RuleSync(store, root).sync_once()
        assert {found.path: found.reason for found in report.findings} == await rejected(store)
        assert report.good == len(await standing(store))


SIGMA = (
    "title: T\nlogsource: {{product: windows}}\ndetection: {{s: {{A|re: {regex}}}, condition: s}}\n"
)


def test_pysigma_is_asked_where_it_is_installed_and_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sigma.collection", reason="needs the extra sigma")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("it connects"))
    root = fill(tmp_path / "rules", {"a.yml": SIGMA.format(regex="'('")})
    fill(root, {"b.yml": SIGMA.format(regex="'x+'")})
    assert check_rules(root, format="sigma").findings == ()
    (finding,) = check_rules(root, format="sigma", pysigma=True).findings
    assert (finding.path, finding.reason.split(":")[:2]) == (
        "a.yml",
        ["pySigma", " SigmaRegularExpressionError"],
    )


def test_a_missing_pysigma_is_one_line(run: Run, tmp_path: Path) -> None:
    if importlib.util.find_spec("sigma"):
        pytest.skip("the extra sigma is installed")
    fill(tmp_path / "rules", {"a.yml": SIGMA.format(regex="x")})
    done = run("check", "rules", "--format", "sigma", "--pysigma")
    assert done.returncode == 1
    assert "needs the extra 'sigma': pip install 'ruletide[sigma]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_pysigma_is_asked_about_sigma_only(run: Run, root: Path) -> None:
    done = run("check", "rules", "--pysigma")
    assert done.returncode == 2
    assert "--pysigma is for the format 'sigma'" in done.stderr
