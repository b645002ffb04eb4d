"""docs/writing.md from its first line to its last: its files are written, tested and run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support.commands import REPOSITORY

pytestmark = pytest.mark.slow

TEXT = (REPOSITORY / "docs" / "writing.md").read_text()
BLOCKS = dict(re.findall(r"<!-- ([^\n]*) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL))


def run(directory: Path, *words: str) -> str:
    """Run a program in the directory of the page's files, and return what it prints."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = f"{REPOSITORY}{os.pathsep}{directory}"
    env = {"PATH": path, "PYTHONPATH": found, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        words, cwd=directory, env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def check_session(directory: Path, session: str) -> None:
    """Run the commands of a block, and see that each prints what is shown; … is anything."""
    for command, shown in re.findall(r"^\$ ([^\n]*)\n((?:[^$\n][^\n]*\n)*)", session, re.MULTILINE):
        pattern = ".*".join(map(re.escape, shown.rstrip("\n").split(" …")))
        printed = run(directory, *shlex.split(command))
        assert re.fullmatch(pattern, printed.rstrip("\n"), re.DOTALL), (command, printed)


def install(directory: Path) -> None:
    """Install the page's package into the directory, as pip would."""
    (directory / "shop_manifest.py").write_text(BLOCKS["shop_manifest.py"])
    project = tomllib.loads(BLOCKS["pyproject.toml"])["project"]
    name, version, entries = project["name"], project["version"], project["entry-points"]
    metadata = directory / f"{name}-{version}.dist-info"
    metadata.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (metadata / "METADATA").write_text(head)
    ((group, lines),) = entries.items()
    text = "".join(f"{key} = {value}\n" for key, value in lines.items())
    (metadata / "entry_points.txt").write_text(f"[{group}]\n{text}")


def test_every_block_of_the_page_has_its_place() -> None:
    assert len(BLOCKS) == TEXT.count("\n```") // 2 == 12


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    for name in ("revenue.py", "test_revenue.py", "shop.py", "follow.py"):
        (tmp_path / name).write_text(BLOCKS[name])
    assert "2 passed" in run(tmp_path, "python", "-m", "pytest", "-p", "no:cacheprovider")
    check_session(tmp_path, BLOCKS["version 1"])
    check_session(tmp_path, BLOCKS["following"])
    (tmp_path / "revenue.py").write_text(BLOCKS["revenue.py, version 2"])
    install(tmp_path)
    check_session(tmp_path, BLOCKS["building"])
    check_session(tmp_path, BLOCKS["version 2"])
    check_session(tmp_path, BLOCKS["watching"])
