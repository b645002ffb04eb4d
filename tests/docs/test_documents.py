"""Every name that the documents say is there: files, modules, classes, functions."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = "eventstore|projections|tests|config|docs|benchmarks|examples|scripts"
FILE = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)(?:::\w+)?`")
NAME = re.compile(r"`((?:eventstore|projections)(?:\.\w+)+)`")
ENTRY_POINTS = frozenset({"eventstore.backends", "eventstore.commands", "eventstore.rule_formats"})
"""Groups of entry points, which are no modules."""
PLACEHOLDER = re.compile(r"(?<![A-Za-z])[A-Z]{4,}(?![A-Za-z])")
"""A part of a path that stands for any name, as in `formats/NAME.py`."""


def documents() -> list[Path]:
    """Return what describes today's tree; the changelog and old decisions tell of the past."""
    found = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def is_there(path: str) -> bool:
    """Say whether a path exists; of one with a placeholder, whether its directory does."""
    if found := PLACEHOLDER.search(path):
        path = path[: found.start()].rpartition("/")[0]
    return (REPOSITORY / path).exists()


def resolves(name: str) -> bool:
    """Say whether a dotted name leads to a module, or to something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        try:
            reduce(getattr, parts[end:], module)
        except AttributeError:
            return False
        return True
    return False


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_file_and_name_that_a_document_says_is_there(path: Path) -> None:
    text = path.read_text()
    assert [found for found in FILE.findall(text) if not is_there(found)] == []
    assert [
        found for found in NAME.findall(text) if found not in ENTRY_POINTS and not resolves(found)
    ] == []


def test_a_file_or_name_that_is_not_there_is_noticed() -> None:
    assert is_there("eventstore/limits.py")
    assert is_there("projections/rules/formats/NAME.py")
    assert not is_there("eventstore/nothing.py")
    assert not is_there("eventstore/nothing/NAME.py")
    assert resolves("eventstore.errors.ConflictError")
    assert not resolves("eventstore.errors.Nothing")
    assert not resolves("eventstore.nothing.Nothing")
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text()
    assert len(FILE.findall(contributing)) >= 20


def test_contributing_answers_where_each_concern_is() -> None:
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text()
    answers = contributing.split("## Where is it decided?")[1].split("\n## ")[0]
    rows = [line for line in answers.splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 8
    assert [row for row in rows if not FILE.search(row)] == []


def test_the_index_of_decisions_lists_each_with_its_title() -> None:
    folder = REPOSITORY / "docs" / "decisions"
    listed = re.findall(r"^- \[(.*)\]\((.*)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    records = sorted(folder.glob("[0-9]*.md"))
    assert len(records) >= 20
    titles = [(path.read_text().splitlines()[0].removeprefix("# "), path.name) for path in records]
    assert listed == titles
    assert all(re.match(rf"{name[:4]}: ", title) for title, name in titles)
