"""The command that computes a view again from the first event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import typer

from eventstore.errors import InvalidInputError
from projections import DirectoryProjection, ProjectionRunner
from projections.journal import JournalTables
from projections.memories import MemoryTables
from projections.memories.files import memory_directory
from projections.registry import RegistryTables
from projections.rules import RuleTables
from projections.sql import SqlCopy, SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.cli.run import Session
    from projections import Projection

DIRECTORY: Final = "directory"
MEMORIES: Final = MemoryTables.name
TABLES: Final = {
    view.name: view for view in (RuleTables, RegistryTables, JournalTables, MemoryTables)
}
SQL: Final = "sql"
VIEWS: Final = (DIRECTORY, *TABLES, SQL)
"""The views that have a name here."""


def check_usage(name: str, to: Path | None, database: str | None) -> None:
    """Refuse a place that is not the named view's own, as wrong usage."""
    if name == DIRECTORY and (to is None or database is not None):
        raise typer.BadParameter("the view 'directory' needs --to DIR, and no --database")
    if name in {*TABLES, SQL} - {MEMORIES} and to is not None:
        raise typer.BadParameter(f"the view {name!r} is in a database: give --database URL")
    if to is not None and database is not None:
        raise typer.BadParameter("files and tables are two views: give --to or --database")


async def rebuild(session: Session, name: str, to: Path | None, database: str | None) -> None:
    """Compute a view again; the old one serves until then, and stays if this is interrupted.

    Without ``database`` tables are those in the log's own database.
    """
    if name == SQL and database is None:
        await _rebuild_sql(session)
        return
    view, place = _view(session, name, to, database or session.settings.url)
    async with session.open_store() as store:
        with session.progress(f"rebuilding {name}") as bar:
            task = bar.add_task("events", total=None)
            runner = ProjectionRunner(
                store,
                view,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
            try:
                reached = await runner.rebuild()
            except anyio.get_cancelled_exc_class():
                session.note(f"interrupted: {place} stays as it was")
                raise
    _show(session, name, place, reached.position)


async def _rebuild_sql(session: Session) -> None:
    """Compute the programs' own tables, which are no inline view but kept by SqlStorage."""
    with SqlStorage(session.settings.url, notify="none") as storage:
        _show(session, SQL, storage.url, await anyio.to_thread.run_sync(storage.rebuild))


def _show(session: Session, name: str, place: str, position: int) -> None:
    session.show(
        {"view": name, "place": place, "position": position},
        f"{name} in {place} is rebuilt, at position {position}",
    )


def _view(session: Session, name: str, to: Path | None, database: str) -> tuple[Projection, str]:
    """Return the named view, and where it is as people may read it: without a password."""
    if name == DIRECTORY and to is not None:
        return DirectoryProjection(to, on_error=session.settings.projection.on_error), str(to)
    if name == MEMORIES and to is not None:
        return memory_directory(to), str(to)
    if name == SQL:
        copy = SqlCopy(database)
        return copy, copy.place
    if name in TABLES:
        view = TABLES[name]().at(database)
        return view, view.place
    raise InvalidInputError(f"view {name!r}", f"is not known; known are {', '.join(VIEWS)}")
