"""Errors in the language of the command line: options instead of keyword arguments, or JSON."""

from __future__ import annotations

import re
from typing import Final

from eventstore.errors import EventStoreError

_WORDS: Final = (
    (re.compile(r"\bafter=END\b"), "the head as a start"),
    (re.compile(r"\bafter=(-?\w+)"), r"--after \1"),
    (re.compile(r"\bbefore=(-?\w+)"), r"--before \1"),
    (re.compile(r"\buntil=(-?\w+)"), r"--at \1"),
    (re.compile(r"\btimeout=(-?[\w.]+)"), r"--timeout \1"),
    (re.compile(r"\bpoll=(-?[\w.]+)"), r"poll_seconds = \1"),
    (re.compile(r"\b(replace|force|kept|skip_gone|allow_none|allow_empty|once)=True\b"), None),
    (re.compile(r"\bskip_gone\(\)|\bstore\.skip_gone\b"), "--skip-gone"),
    (re.compile(r"\bcreate=False\b"), "a log that is there"),
    (re.compile(r"(?<!-)\bconfidence_max\b"), "--confidence-max"),
    (re.compile(r"\bNO_STREAM\b"), "no-stream"),
    (re.compile(r"\bSTREAM_EXISTS\b"), "exists"),
    (re.compile(r"\ban aware datetime\b"), "a time with a zone"),
    (re.compile(r"\bor None\b"), "or nothing"),
)
"""What errors of the library say, and what an operator writes instead."""


def operator_text(error: BaseException) -> str:
    """Return an error's message in the words of the command line."""
    text = str(error) or type(error).__name__
    if not isinstance(error, EventStoreError):
        return text
    for pattern, words in _WORDS:
        text = pattern.sub(words if words is not None else _as_option, text)
    return text


_USAGE: Final = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be a valid integer\b.*"), "it is no whole number"),
    (re.compile(r"Input should be a valid number\b.*"), "it is no number"),
    (re.compile(r"Input should be "), "it must be "),
    (re.compile(r"\. Choose from:\s*"), ": one of "),
    (re.compile(r"\s*\n\s*"), " "),
)
"""What the parser of arguments says, and plain words for it, on one line."""


def usage_text(message: str) -> str:
    """Return what the parser of arguments says about wrong usage in plain words, as one line."""
    for pattern, words in _USAGE:
        message = pattern.sub(words, message)
    return message.rstrip(".")


def _as_option(found: re.Match[str]) -> str:
    return "--" + found[1].replace("_", "-")
