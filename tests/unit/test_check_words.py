"""The check of words finds what it is for, and does not pass where it reads nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import check_words

PLAIN = '"""A module that says what it does, in eleven words or so."""\n'


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Lay out a tree in order: one module and one document."""
    write(tmp_path, "eventstore/page_cache.py", PLAIN + "settle_seconds = 1\n")
    write(tmp_path, "README.md", "# A document\n\nIt says what it describes.\n")
    return tmp_path


def test_a_tree_in_order_passes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_words.main([str(tree)]) == 0
    assert "docstrings: 0 riddle words in 12" in capsys.readouterr().out


@pytest.mark.parametrize("word", check_words.RIDDLES)
def test_a_riddle_in_a_docstring_is_found(
    tree: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'{PLAIN}def f():\n    """Return it\n\n    to {word.title()}\'s place."""\n'
    write(tree, "projections/a.py", text)
    assert check_words.main([str(tree), "--list"]) == 1
    assert f"projections/a.py:5: {word.title()}\n" in capsys.readouterr().out


def test_a_riddle_in_a_document_is_found_and_one_in_the_changelog_is_not(tree: Path) -> None:
    write(tree, "CHANGELOG.md", "Whoever reads this.")
    assert check_words.main([str(tree)]) == 0
    write(tree, "docs/a/b.md", "Whoever reads this.")
    assert check_words.main([str(tree)]) == 1


def test_few_riddles_among_many_words_pass(tree: Path) -> None:
    write(tree, "projections/a.py", f'"""{"word " * 10_000} and whatever."""')
    assert check_words.main([str(tree)]) == 0


@pytest.mark.parametrize(
    "source",
    ["class Shelf: ...", "def tend(): ...", "def f(pace): ...", "guests = 1", "a.page_shelf = 1"],
)
def test_a_name_that_the_glossary_has_replaced_is_found(tree: Path, source: str) -> None:
    write(tree, "eventstore/a.py", source)
    assert check_words.main([str(tree)]) == 1


def test_a_module_that_the_glossary_has_replaced_is_found(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tree, "eventstore/shelf.py", PLAIN)
    assert check_words.main([str(tree)]) == 1
    assert "eventstore/shelf.py:0: shelf\n" in capsys.readouterr().out


def test_a_tree_without_words_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no words were read"):
        check_words.main([str(tmp_path)])


def test_each_replaced_word_is_absent_from_the_glossary_s_own_terms() -> None:
    glossary = (Path(__file__).parents[2] / "docs" / "glossary.md").read_text()
    terms = {line.split("|")[1].strip() for line in glossary.splitlines() if line.startswith("| ")}
    assert len(terms) >= 60
    assert terms & set(check_words.REPLACED) == set()
