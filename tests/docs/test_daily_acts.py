"""The commands of each day: those that CONTRIBUTING.md names are there, and the hooks run."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.commands import REPOSITORY, command, environment

if TYPE_CHECKING:
    from pathlib import Path


def sessions() -> set[str]:
    """Return the names of nox's sessions."""
    tree = ast.parse((REPOSITORY / "noxfile.py").read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {
        one.name
        for one in functions
        if "nox.session" in [ast.unparse(mark) for mark in one.decorator_list]
    }


def hook() -> dict[str, Any]:
    """Return the hook that projects with rules use."""
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
    (found,) = [one for one in hooks if one["id"] == "eventstore-check"]
    assert isinstance(found, dict)
    return found


def test_contributing_names_each_session_once() -> None:
    named = re.findall(r"`nox -s (\w+)", (REPOSITORY / "CONTRIBUTING.md").read_text())
    assert len(named) >= 8
    assert sorted(named) == sorted(sessions())


@pytest.mark.parametrize(("broken", "status"), [(False, 0), (True, 1)])
def test_the_hook_checks_a_project_s_rules(tmp_path: Path, broken: bool, status: int) -> None:
    shutil.copytree(REPOSITORY / "config" / "rules" / "ttp", tmp_path / "rules")
    if broken:
        shutil.copy(
            REPOSITORY / "config" / "broken-rule.yml", tmp_path / "rules" / "broken_rule.yml"
        )
    program, *words = shlex.split(hook()["entry"])
    assert program == "eventstore"
    done = subprocess.run(
        command(*words, "rules"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert ("broken_rule.yml:19: " in done.stdout) == broken


def test_the_hook_is_shown_to_its_users_as_it_is() -> None:
    shown = (REPOSITORY / "docs" / "commands.md").read_text().split("```yaml\n")[1].split("```")[0]
    (used,) = yaml.safe_load(shown)
    assert used["id"] == hook()["id"]
    assert hook()["pass_filenames"] is False


def test_each_local_hook_runs_a_command_that_ci_runs() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    entries = [one["entry"] for repository in config["repos"] for one in repository["hooks"]]
    assert len(entries) >= 5
    known = (REPOSITORY / ".ci" / "run").read_text() + (REPOSITORY / "CONTRIBUTING.md").read_text()
    programs = {" ".join(entry.split()[:2]).removesuffix(" --fix") for entry in entries}
    assert {one for one in programs if one not in known} == {"eventstore check"}
