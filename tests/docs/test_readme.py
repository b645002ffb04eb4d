"""What the documents say is run."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def python_blocks() -> list[tuple[str, str]]:
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
    for page in ("writing.md", "testing.md"):
        # Their files import each other: test_writing.py, test_testing.py.
        files.remove(REPOSITORY / "docs" / page)
    return [
        (f"{file.relative_to(REPOSITORY)}-{number}", block)
        for file in files
        for number, block in enumerate(
            re.findall(r"```python\n(.*?)```", file.read_text(), re.DOTALL)
        )
    ]


BLOCKS = python_blocks()


def test_there_are_blocks_to_run() -> None:
    assert any(name.startswith("README.md") for name, _ in BLOCKS)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        # Those of docs/ are left to the slow lane: each is a process of its own.
        pytest.param(
            name, block, id=name, marks=[pytest.mark.slow] * (not name.startswith("README"))
        )
        for name, block in BLOCKS
    ],
)
def test_every_python_block_of_the_documents_runs(name: str, block: str, tmp_path: Path) -> None:
    (tmp_path / "config").symlink_to(REPOSITORY / "config")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_every_link_within_the_documents_leads_somewhere() -> None:
    files = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    links = [
        (file, target.split("#")[0])
        for file in files
        for target in re.findall(r"\]\((?!https?:)([^)#][^)]*)\)", file.read_text())
    ]
    assert links
    assert [(str(f), t) for f, t in links if not (f.parent / t).exists()] == []


def test_every_test_named_by_the_guarantees_exists() -> None:
    text = (REPOSITORY / "docs" / "guarantees.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) >= 20
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"def {test}(" not in (REPOSITORY / file).read_text()
    ]
    assert missing == []


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


def test_the_package_index_gets_a_readme_without_links_that_break_there() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    hook = project["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = "".join((REPOSITORY / part["path"]).read_text() for part in hook["fragments"])
    link = re.compile(r"\]\((?!https?:)")
    assert len(link.findall(text)) >= 10
    for step in hook["substitutions"]:
        text = re.sub(step["pattern"], step["replacement"], text)
    assert link.findall(text) == []
    assert "`docs/commands.md`" in text
    assert "architecture (`docs/architecture.md`)" in text
