"""Texts as a terminal shows and does not obey them: Python escapes for what would steer it.

:func:`escape` is for output, :func:`escape_path` for paths that are stored: it changes as few
characters of a name as it can.
"""

from __future__ import annotations


def escape(text: str) -> str:
    """Return ``text`` as one line that a terminal shows and does not obey."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def escape_lines(text: str) -> str:
    """Escape a text of this program's own layout, such as a traceback; its lines stay."""
    return "\n".join(escape(line) for line in text.splitlines())


def escape_path(path: str) -> str:
    """Return a path as text for events and logs: what is not UTF-8, and controls, escaped."""
    text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(escape(one) if is_control(one) else one for one in text)


def is_control(character: str) -> bool:
    """Whether a character is a control character (C0, delete or C1)."""
    return character < " " or "\x7f" <= character <= "\x9f"
