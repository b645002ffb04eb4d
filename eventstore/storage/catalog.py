"""What a database says that the log's tables are made of, to find what was changed in them.

A catalog maps each object's name for people (``trigger head_kept``) to its definition as text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLES: Final = ("consumer", "event", "head", "kept", "migration", "stream")
"""The log's own tables; all others in the database belong to projections and to other programs."""


def as_catalog(rows: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    """Return names and texts with white space normalised."""
    return {str(name): " ".join(str(text).split()) for name, text in rows}


def differences(actual: dict[str, str], expected: dict[str, str]) -> list[tuple[str, str]]:
    """Return (where, what) for each object that is not as the migrations make it."""
    found = [(name, "is missing") for name in expected if name not in actual]
    found += [
        (name, "is not what the migrations make" if name in expected else "is not the log's own")
        for name, text in actual.items()
        if expected.get(name) != text
    ]
    return [(f"schema, {name}", what) for name, what in sorted(found)]
