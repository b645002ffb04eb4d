"""The checkpoints of projections in a directory or a database, for ``verify --view``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore import Cursor


def directory(place: str) -> list[tuple[str, Cursor]]:
    """Read the checkpoint of a projected directory."""
    # A projection in files needs no database.
    from projections.directory import read_tree  # noqa: PLC0415

    cursor, _ = read_tree(Path(place))
    return [("directory", cursor)]


def database(place: str) -> list[tuple[str, Cursor]]:
    """Read the checkpoints of all projections in a database."""
    from projections.tables.followed import read_cursors  # noqa: PLC0415

    return read_cursors(place)
