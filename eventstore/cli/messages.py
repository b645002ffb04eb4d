"""Errors in the language of the command line: options instead of keyword arguments, or JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Words = str | Callable[[re.Match[str]], str]


def _as_option(found: re.Match[str]) -> str:
    return "--" + found[1].replace("_", "-")


_WORDS: Final[Mapping[str, Words]] = {
    r"\bafter=END\b": "the head as a start",
    r"\bafter=(-?\w+)": r"--after \1",
    r"\bbefore=(-?\w+)": r"--before \1",
    r"\buntil=(-?\w+)": r"--at \1",
    r"\btimeout=(-?[\w.]+)": r"--timeout \1",
    r"\bpoll=(-?[\w.]+)": r"poll_seconds = \1",
    r"\b(replace|force|kept|skip_gone|allow_none|allow_empty|once)=True\b": _as_option,
    r"\bskip_gone\(\)|\bstore\.skip_gone\b": "--skip-gone",
    r"\bcreate=False\b": "a log that is there",
    r"(?<!-)\bconfidence_max\b": "--confidence-max",
    r"\bNO_STREAM\b": "no-stream",
    r"\bSTREAM_EXISTS\b": "exists",
    r"\ban aware datetime\b": "a time with a zone",
    r"\bor None\b": "or nothing",
}
"""What errors of the library say, and what an operator writes instead."""

_USAGE: Final[Mapping[str, Words]] = {
    r"Value error, ": "",
    r"Input should be a valid integer\b.*": "it is no whole number",
    r"Input should be a valid number\b.*": "it is no number",
    r"Input should be ": "it must be ",
    r"\. Choose from:\s*": ": one of ",
    r"\s*\n\s*": " ",
}
"""What the parser of arguments says, and plain words for it, on one line."""


def operator_text(error: BaseException) -> str:
    """Return an error's message in the words of the command line."""
    text = str(error) or type(error).__name__
    return _replaced(text, _WORDS) if isinstance(error, EventStoreError) else text


def usage_text(message: str) -> str:
    """Return what the parser of arguments says about wrong usage in plain words, as one line."""
    return _replaced(message, _USAGE).rstrip(".")


def _replaced(text: str, table: Mapping[str, Words]) -> str:
    for pattern, words in table.items():
        text = re.sub(pattern, words, text)
    return text
