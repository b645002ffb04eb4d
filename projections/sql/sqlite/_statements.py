"""Splitting a script into its statements."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


def split_script(script: str) -> Iterator[str]:
    """Yield the statements of a script, without those of only comments and space.

    SQLite's tokenizer decides where a statement ends. The last one may lack its semicolon.
    """
    start = end = 0
    while (end := script.find(";", end) + 1) > 0:
        if sqlite3.complete_statement(script[start:end]):
            if not _is_empty(statement := script[start:end].strip()):
                yield statement
            start = end
    rest = script[start:].strip()
    if rest and not _is_empty(rest):
        yield rest


def _is_empty(statement: str) -> bool:
    """Return True if there are only comments, space and semicolons."""
    return not _without_comments(statement)


def _without_comments(statement: str) -> str:
    """Return a statement from its first word on."""
    rest = statement
    while rest := rest.lstrip().lstrip(";"):
        if rest.startswith("--"):
            rest = rest.partition("\n")[2]
        elif rest.startswith("/*"):
            rest = rest.partition("*/")[2]
        elif not rest[0].isspace():
            return rest
    return ""


_BEGIN: Final = re.compile(
    r"BEGIN(\s+(DEFERRED|IMMEDIATE|EXCLUSIVE))?(\s+TRANSACTION)?", re.IGNORECASE
)
_COMMIT: Final = re.compile(r"(COMMIT|END)(\s+TRANSACTION)?", re.IGNORECASE)


def transaction_word(statement: str) -> str:
    """Return ``begin``, ``commit`` or ``pragma`` for such a statement, empty for any other."""
    plain = _without_comments(statement).rstrip("; \t\r\n")
    if _BEGIN.fullmatch(plain):
        return "begin"
    if _COMMIT.fullmatch(plain):
        return "commit"
    return "pragma" if plain[:6].lower() == "pragma" else ""
