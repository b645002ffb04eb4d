"""Pictures of the documents: each is there, small, described in words, and shown somewhere."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
LARGEST = 120_000
"""Bytes of a picture, at the most."""


def test_every_picture_that_a_document_shows_is_there_and_is_described() -> None:
    shown = {
        (path.parent / target).resolve(): words
        for path in DOCS.rglob("*.md")
        for words, target in PICTURE.findall(path.read_text())
    }
    files = {path.resolve() for path in (DOCS / "images").glob("*")}
    assert shown.keys() == files
    assert len(files) >= 4
    for path, words in shown.items():
        assert len(words.split()) > 3, path
        assert path.read_bytes().startswith(b"\x89PNG\r\n"), path
        assert path.stat().st_size <= LARGEST, path
