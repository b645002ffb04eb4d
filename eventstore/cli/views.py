"""What the names of views on the command line stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from eventstore.cli.rebuilding import DIRECTORY, MEMORIES, SQL, VIEWS
from eventstore.errors import InvalidInputError
from projections import DirectoryProjection
from projections.journal import JournalTables
from projections.memories import MemoryTables
from projections.memories.files import memory_directory
from projections.registry import RegistryTables
from projections.rules import RuleTables
from projections.sql import SqlCopy, SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

    from projections import Projection

TABLES: Final = {
    view.name: view for view in (RuleTables, RegistryTables, JournalTables, MemoryTables)
}


def find_view(
    name: str, to: Path | None, database: str, on_error: Literal["set_aside", "stop"]
) -> tuple[Projection, str]:
    """Return the named view, and where it is as people may read it: without a password."""
    if name == DIRECTORY and to is not None:
        return DirectoryProjection(to, on_error=on_error), str(to)
    if name == MEMORIES and to is not None:
        return memory_directory(to), str(to)
    if name == SQL:
        copy = SqlCopy(database)
        return copy, copy.place
    if name in TABLES:
        view = TABLES[name]().at(database)
        return view, view.place
    raise InvalidInputError(f"view {name!r}", f"is not known; known are {', '.join(VIEWS)}")


def rebuild_sql(url: str) -> tuple[str, int]:
    """Compute programs' own tables, which SqlStorage keeps; return where, and the position."""
    with SqlStorage(url, notify="none") as storage:
        return storage.url, storage.rebuild()
