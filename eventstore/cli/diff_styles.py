"""How the lines of a unified diff look on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STYLES: Final = (("@@", "cyan"), ("---", "bold"), ("+++", "bold"), ("-", "red"), ("+", "green"))
"""Styles of the lines of a diff, by how they begin."""


def styled_diff(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a unified diff with the styles they have on a terminal."""
    for line in lines:
        yield line, next((style for start, style in STYLES if line.startswith(start)), "")
