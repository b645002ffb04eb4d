"""Files of a source that are no rules by their names, and how paths are shown."""

from __future__ import annotations

from typing import NamedTuple


class IgnoredFile(NamedTuple):
    """A file that is no rule by its name, and why; a folder's path ends in ``/``."""

    path: str
    reason: str


def printable(path: str) -> str:
    """Return a path as text for logs and terminals: what is not UTF-8, and controls, escaped."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(ascii(one)[1:-1] if is_control(one) else one for one in text)


def is_control(character: str) -> bool:
    """Whether a character is a control character (C0, delete or C1)."""
    return character < " " or "\x7f" <= character <= "\x9f"
