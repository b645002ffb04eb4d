"""The command that computes a view again from the first event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import typer

from projections import ProjectionRunner

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.cli.run import Session

DIRECTORY: Final = "directory"
MEMORIES: Final = "memories"
SQL: Final = "sql"
VIEWS: Final = (DIRECTORY, "rules", "registry", "journal", MEMORIES, SQL)
"""The views that have a name here; :mod:`eventstore.cli.views` has what they name."""


def check_usage(name: str, to: Path | None, database: str | None) -> None:
    """Refuse a place that is not the named view's own, as wrong usage."""
    if name == DIRECTORY and (to is None or database is not None):
        raise typer.BadParameter("the view 'directory' needs --to DIR, and no --database")
    if name in set(VIEWS) - {DIRECTORY, MEMORIES} and to is not None:
        raise typer.BadParameter(f"the view {name!r} is in a database: give --database URL")
    if to is not None and database is not None:
        raise typer.BadParameter("files and tables are two views: give --to or --database")


async def rebuild(session: Session, name: str, to: Path | None, database: str | None) -> None:
    """Compute a view again; the old one serves until then, and stays if this is interrupted.

    Without ``database`` tables are those in the log's own database.
    """
    # All views there are: the other commands begin a sixth sooner without them.
    from eventstore.cli.views import find_view, rebuild_sql  # noqa: PLC0415

    if name == SQL and database is None:
        place, position = await anyio.to_thread.run_sync(rebuild_sql, session.settings.url)
        _show(session, name, place, position)
        return
    on_error = session.settings.projection.on_error
    view, place = find_view(name, to, database or session.settings.url, on_error)
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


def _show(session: Session, name: str, place: str, position: int) -> None:
    session.show(
        {"view": name, "place": place, "position": position},
        f"{name} in {place} is rebuilt, at position {position}",
    )
