"""docs/guarantees.md names the tests that are marked as showing a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts import list_promises
from scripts.list_promises import PromiseError, collect, fill, main

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT = "Kept.\n\n<!-- tests: kept -->\n<!-- end -->\n\nMore.\n"


@pytest.fixture
def tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory of tests of a project of its own."""
    monkeypatch.setattr(list_promises, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    return tmp_path / "tests"


def test_the_lists_are_what_the_markers_say() -> None:
    assert main(["--check"]) == 0


def test_a_marked_test_and_a_marked_file_are_listed(tests: Path) -> None:
    (tests / "test_b.py").write_text(
        'pytestmark = [pytest.mark.anyio, pytest.mark.promise("kept")]\n'
    )
    (tests / "test_a.py").write_text(
        '@pytest.mark.promise("kept")\n@pytest.mark.slow\nasync def test_one(): ...\n\n'
        "def test_two(): ...\n"
    )
    assert fill(DOCUMENT, collect(tests)) == (
        "Kept.\n\n<!-- tests: kept -->\n\n- `tests/test_a.py::test_one`\n"
        "- `tests/test_b.py` (every test)\n\n<!-- end -->\n\nMore.\n"
    )


def test_a_promise_without_a_test_is_refused() -> None:
    with pytest.raises(PromiseError, match=r"without a test: \['kept'\]"):
        fill(DOCUMENT, {})


def test_a_marker_without_a_place_is_refused() -> None:
    with pytest.raises(PromiseError, match=r"without a place in the document: \['other'\]"):
        fill(DOCUMENT, {"kept": ["- x"], "other": ["- y"]})


def test_a_document_without_places_is_refused() -> None:
    with pytest.raises(PromiseError):
        fill("Kept.\n", {})
