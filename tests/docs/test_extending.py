"""docs/extending.md describes a package; here it is installed, and its session is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
from support.commands import REPOSITORY, command, environment
from support.stranger import install

from eventstore.cli.manifest import Manifest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TEXT = (REPOSITORY / "docs" / "extending.md").read_text()


def block(title: str) -> str:
    found = re.search(rf"<!-- {re.escape(title)} -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None, title
    return found[1]


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    project = tomllib.loads(block("shop/pyproject.toml"))["project"]
    assert project["entry-points"] == {"eventstore.commands": {"shop": "shop.manifest:MANIFEST"}}
    site = tmp_path / "site"
    extra = install(site, "shop", block("shop/manifest.py"))
    (site / "shop" / "commands.py").write_text(block("shop/commands.py"))
    return extra


def run(words: str, cwd: Path, extra: dict[str, str]) -> str:
    done = subprocess.run(
        command(*shlex.split(words)),
        cwd=cwd,
        env=environment(**extra),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_session_prints_what_is_shown(tmp_path: Path, installed: dict[str, str]) -> None:
    steps = re.findall(r"^\$ eventstore (.*)\n(.*)$", block("shop session"), re.MULTILINE)
    assert len(steps) == 5
    for words, shown in steps:
        said = run(words, tmp_path, installed)
        pattern = ".*".join(re.escape(part.strip()) for part in shown.split("…"))
        assert re.fullmatch(pattern, said.rstrip("\n"), re.DOTALL), said
    assert "placed    order/17 for 12" in run("tail --no-follow", tmp_path, installed)
    assert re.search(r"Shop:\n  order +Place an order\.", run("--help", tmp_path, installed))


def test_every_kind_of_contribution_has_a_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))
    assert rows == {field.name for field in fields(Manifest)} - {"title"}


def test_the_rule_format_is_known_once_it_is_installed(tmp_path: Path) -> None:
    project = tomllib.loads(block("notes/pyproject.toml"))["project"]
    ((name, value),) = project["entry-points"]["eventstore.rule_formats"].items()
    package, metadata = tmp_path / "site" / "notes", tmp_path / "site" / "notes-1.0.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "rule_format.py").write_text(block("notes/rule_format.py"))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: notes\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[eventstore.rule_formats]\n{name} = {value}\n")
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.NOTE").write_text("Title\ntext")
    extra = {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(tmp_path / "site")))}
    assert run("check rules --format note", tmp_path, extra) == "1 rule is good\n"
