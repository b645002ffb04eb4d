"""How commands say that a file is rejected; apart, for `status` needs nothing else of rules."""

from __future__ import annotations


def show_rejected(path: str, line: int | None, reason: str) -> str:
    """Return a rejection in one line, as editors take it; without a line where none is known."""
    return f"{path}:{line}: {reason}" if line else f"{path}: {reason}"
