"""The main job, and the walk-through of the README."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, SAMPLES, Run, Running
from support.waiting import wait_until

from projections.directory import read_tree

if TYPE_CHECKING:
    from pathlib import Path
Start = Callable[..., Running]


def normal(line: str) -> str:
    """Drop what differs from run to run: the times and the user's name."""
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", "TIME", line)
    return re.sub(r" by \S+", " by USER", line)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    return tmp_path


def test_the_walk_through_prints_what_the_readme_says(here: Path, start: Start, run: Run) -> None:
    rules = here / "config/rules/ttp"
    readme = (REPOSITORY / "README.md").read_text()
    shown = readme.split("<!-- walk-through -->")[1].split("```console\n")[1].split("```")[0]
    expected = [normal(line) for line in shown.splitlines() if re.match(r" +\d+ ", line)]

    up = start("up", "--rules", "config/rules/ttp", "--to", "live")
    lines = up.lines_until("    16  ")
    tail = start("tail", "--after", "16")

    def after(step: Callable[[], object]) -> str:
        step()
        lines.append(up.line())
        assert tail.line().split("  ", 2)[2] == lines[-1].split("  ", 2)[2]
        return lines[-1]

    broken, rule = rules / "broken_rule.yml", rules / "encoded_powershell.yml"
    text = rule.read_text()
    after(lambda: rule.write_text(text.replace("rule_version: 2", "rule_version: 3")))
    after(lambda: shutil.copy(here / "config/broken-rule.yml", broken))
    after(broken.unlink)
    after(lambda: rule.rename(rules / "powershell_encoded.yml"))
    after((rules / "powershell_encoded.yml").unlink)
    after(lambda: shutil.copy(SAMPLES / "encoded_powershell.yml", rules))
    after(lambda: run("state", "R1002", "disabled", "--reason", "noisy", "--until", "2h"))
    got = [normal(line) for line in lines if re.match(r" +\d+ ", line)]
    until = re.compile(r" until \S+")
    assert [until.sub("", line) for line in got] == [until.sub("", line) for line in expected]
    assert up.interrupt() == 0
    assert tail.interrupt() == 0


def test_the_projected_directory_follows(here: Path, start: Start, run: Run) -> None:
    up = start("up", "--rules", "config/rules/ttp", "--to", "live")
    up.lines_until("    16  ")
    (here / "config/rules/ttp/encoded_powershell.yml").unlink()
    up.lines_until("removed")
    assert up.interrupt() == 0
    run("project", "live", "--once")
    names = {path.name for path in (here / "config/rules/ttp").iterdir()}
    assert {path.name for path in (here / "live").glob("*.yml")} == names


def test_pulling_the_plug_of_an_atomic_directory_loses_nothing(
    here: Path, start: Start, run: Run
) -> None:
    live, words = here / "live", ("up", "--rules", "config/rules/ttp", "--to", "live")
    up = start(*words, "--atomic")
    up.lines_until("    16  ")
    wait_until(live.is_symlink)
    up.process.kill()
    up.process.wait()
    (here / "config/rules/ttp/encoded_powershell.yml").unlink()
    again = start(*words)
    assert "removed   R1001" in again.lines_until("    17  ")[-1]
    wait_until(lambda: not (live / "encoded_powershell.yml").exists())
    status = json.loads(run("status", "--json").stdout)
    assert (status["position"], status["projections"]) == (17, [])
    assert read_tree(live)[0].position == 17
    assert again.interrupt() == 0
    assert live.is_symlink()
    assert run("project", "live", "--check").returncode == 0
    assert run("verify", "--view", "live").returncode == 0


def test_two_runners_on_one_directory_are_told_apart(here: Path, start: Start, run: Run) -> None:
    up = start("up", "--rules", "config/rules/ttp", "--to", "live")
    up.lines_until("    16  ")
    done = run("project", "live", "--once")
    assert done.returncode == 1
    assert "already kept by" in done.stderr
    assert up.interrupt() == 0
