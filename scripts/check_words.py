"""Check the language of the tree: plain words in docstrings and documents, the glossary's in names.

``python -m scripts.check_words [ROOT]`` prints what it found and exits with 1 if

- docstrings, or documents, hold more than 3 in 10,000 of the riddle words below;
- a module or an identifier has a word that docs/glossary.md has replaced.

``--list`` also prints each riddle word with its place.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LIMIT: Final = 3.0
"""Riddle words in 10,000 words."""
RIDDLES: Final = ("whoever", "whomever", "whatever", "whichever", "somebody", "nobody", "anybody")
RIDDLE: Final = re.compile(rf"\b({'|'.join(RIDDLES)})\b", re.IGNORECASE)
SOURCES: Final = ("eventstore", "projections", "tests", "benchmarks", "examples", "scripts")
REPLACED: Final = {
    "books": "table, registry or ledger",
    "guest": "user transaction",
    "hosting": "blocking host",
    "keeping": "access times",
    "pace": "poll schedule",
    "seat": "pooled connection",
    "settle": "debounce, resolve or correct",
    "shelf": "page cache",
    "tend": "maintain",
    "upkeep": "maintenance",
}
"""Words that may not be a part of a name, and what the glossary says instead."""
FORMS: Final = frozenset(form for word in REPLACED for form in (word, f"{word}s"))
ALLOWED: Final = frozenset({"settle_seconds", "hasty_settle_seconds"})
"""Public settings, which keep their names."""
PART: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class Finding(NamedTuple):
    """A word that is not plain: the file, the line (0 for the file's own name), and the word."""

    path: Path
    line: int
    word: str


class Count(NamedTuple):
    """How many words were read, and the riddles among them."""

    words: int
    riddles: list[Finding]

    @property
    def rate(self) -> float:
        """Riddle words in 10,000; raises ValueError where nothing was read."""
        if not self.words:
            raise ValueError("no words were read: is the root right?")
        return len(self.riddles) / self.words * 10_000


def count_texts(path: Path, texts: Iterable[tuple[int, str]]) -> Count:
    """Count the words of texts, each given with the line at which it begins."""
    words, riddles = 0, []
    for first, text in texts:
        for number, line in enumerate(text.splitlines()):
            words += len(line.split())
            riddles += [Finding(path, first + number, found[0]) for found in RIDDLE.finditer(line)]
    return Count(words, riddles)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each docstring of a module with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str(text), lineno=line)), *_]:
                    yield line, text


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield each name that a module defines, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr


def replaced_words(path: Path, found: Iterable[tuple[int, str]]) -> list[Finding]:
    """Return those names that have a word in them which the glossary has replaced."""
    return [
        Finding(path, line, name)
        for line, name in found
        if name not in ALLOWED and any(part.lower() in FORMS for part in PART.findall(name))
    ]


def python_files(root: Path) -> list[Path]:
    """Return the tree's own modules."""
    return sorted(path for folder in SOURCES for path in (root / folder).rglob("*.py"))


def documents(root: Path) -> list[Path]:
    """Return the documents; the changelog tells of the past in the words of its time."""
    found = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    return sorted(path for path in found if path.name != "CHANGELOG.md")


def add(counts: Iterable[Count]) -> Count:
    """Add up what was counted in several files."""
    parts = list(counts)
    return Count(sum(one.words for one in parts), [find for one in parts for find in one.riddles])


def count_docstrings(root: Path) -> Count:
    """Count the words of all docstrings."""
    files = ((path, ast.parse(path.read_text())) for path in python_files(root))
    return add(count_texts(path, docstrings(tree)) for path, tree in files)


def count_documents(root: Path) -> Count:
    """Count the words of all documents."""
    return add(count_texts(path, [(1, path.read_text())]) for path in documents(root))


def find_replaced(root: Path) -> list[Finding]:
    """Return the names of modules and in modules that the glossary has replaced."""
    found = []
    for path in python_files(root):
        found += replaced_words(path, [(0, path.stem)])
        found += replaced_words(path, names(ast.parse(path.read_text())))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the findings; return the exit status."""
    parser = argparse.ArgumentParser(description="Check the language of the tree.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--list", action="store_true", help="print each riddle word")
    options = parser.parse_args(arguments)
    counts = {
        "docstrings": count_docstrings(options.root),
        "documents": count_documents(options.root),
    }
    replaced = find_replaced(options.root)
    shown = [find for count in counts.values() for find in count.riddles] if options.list else []
    for find in [*shown, *replaced]:
        print(f"{find.path.relative_to(options.root)}:{find.line}: {find.word}")
    for what, count in counts.items():
        print(
            f"{what}: {len(count.riddles)} riddle words in {count.words}, "
            f"{count.rate:.1f} in 10,000 (limit {LIMIT:g})"
        )
    print(f"names: {len(replaced)} with a word that docs/glossary.md has replaced")
    return int(bool(replaced) or any(count.rate > LIMIT for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
