"""The lists of tests in docs/guarantees.md, made from the markers in the tests.

A test that shows a promise carries ``@pytest.mark.promise("NAME")``; a file of which every test
does carries the mark in ``pytestmark``. The document has a place for each name, between
``<!-- tests: NAME -->`` and ``<!-- end -->``. ``python -m scripts.list_promises`` writes the lists
there; with ``--check`` it only says whether they are as they should be, by its exit status.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "guarantees.md"
PLACE: Final = re.compile(r"<!-- tests: ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)


class PromiseError(Exception):
    """The markers and the document do not go together; the message says how."""


def marks(node: ast.AST) -> Iterator[str]:
    """Yield the names in the ``pytest.mark.promise`` calls of an expression."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.promise":
            for argument in call.args:
                if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                    raise PromiseError(f"line {call.lineno}: a promise is named by a text")
                yield argument.value


def promises(path: Path) -> Iterator[tuple[str, str]]:
    """Yield each promise of a file of tests, with what shows it as a line of the document."""
    name = path.relative_to(ROOT).as_posix()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark":
            for promise in marks(node.value):
                yield promise, f"- `{name}` (every test)"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                for promise in marks(decorator):
                    yield promise, f"- `{name}::{node.name}`"
        if isinstance(node, ast.ClassDef):
            yield from _promises_of_suite(name, node)


def _promises_of_suite(path: str, suite: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """Yield the promises of a suite that other programs use too: its marks are assigned here."""
    for node in suite.body:
        if isinstance(node, ast.Assign):
            for promise in marks(node.value):
                yield promise, f"- `{path}::{suite.name}::{ast.unparse(node.targets[0])}`"


def collect(tests: Path) -> dict[str, list[str]]:
    """Return the lines for each promise, by path and then as the file has them."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        for promise, line in promises(path):
            found.setdefault(promise, []).append(line)
    return found


def fill(document: str, found: dict[str, list[str]]) -> str:
    """Return the document with its lists written anew; raise PromiseError where one lacks."""
    places = PLACE.findall(document)
    without = sorted(set(places) - found.keys())
    nowhere = sorted(found.keys() - set(places))
    if not places or without or nowhere or len(places) != len(set(places)):
        raise PromiseError(
            f"promises without a test: {without}; markers without a place in the document: "
            f"{nowhere}; places: {places}"
        )

    def write(place: re.Match[str]) -> str:
        lines = "\n".join(found[place[1]])
        return f"<!-- tests: {place[1]} -->\n\n{lines}\n\n<!-- end -->"

    return PLACE.sub(write, document)


def main(words: list[str]) -> int:
    """Write the document or check it; return the exit status."""
    document = DOCUMENT.read_text()
    try:
        filled = fill(document, collect(ROOT / "tests"))
    except PromiseError as error:
        print(error, file=sys.stderr)
        return 1
    if "--check" not in words:
        DOCUMENT.write_text(filled)
    elif filled != document:
        print("docs/guarantees.md: run python -m scripts.list_promises", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
