"""``rebuild``: a projection computed again from the first event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from eventstore.cli.contributions import contributions
from eventstore.cli.output import without_secrets
from eventstore.cli.session import Session
from eventstore.errors import InvalidInputError

if TYPE_CHECKING:
    from eventstore.cli.manifest import Rebuild


@dataclass(frozen=True, slots=True)
class Target:
    """Where a projection is to be rebuilt: in a directory, in a database, or beside the log."""

    directory: Path | None
    database: str | None


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Where a rebuilt projection is, without any password, and how far it has come."""

    place: str
    position: int


Work: TypeAlias = Callable[[Session, Target], Awaitable[Rebuilt]]
"""Computes one projection again."""


def names() -> list[str]:
    """Return the names of the projections that the installed packages can rebuild."""
    return list(dict.fromkeys([*contributions().rebuilds, *contributions().views]))


async def rebuild(
    session: Session,
    name: Annotated[
        str,
        typer.Argument(help=f"The projection: {', '.join(names())}.", autocompletion=names),
    ],
    *,
    to: Annotated[
        Path | None,
        typer.Option(help="The directory of a projection that is made of files."),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(help="For tables: a URL; default the log's own database."),
    ] = None,
) -> None:
    """Compute a projection again from the first event; the old one serves until then."""
    work = _find(name, to, database)
    rebuilt = await work(session, Target(to, database))
    session.output.value(
        {"view": name, "place": without_secrets(rebuilt.place), "position": rebuilt.position},
        f"{name} in {rebuilt.place} is rebuilt, at position {rebuilt.position}",
    )


def _find(name: str, to: Path | None, database: str | None) -> Work:
    """Return what computes a projection again; refuse a place in which it cannot be."""
    found, view = contributions().rebuilds.get(name), contributions().views.get(name)
    any_view = next(iter(contributions().view_rebuilds), None)
    if found is not None:
        _check_usage(name, found.item, to, database)
        work: Work = found.load(found.item.path)
        return work
    if view is None or any_view is None:
        known = ", ".join(names())
        raise InvalidInputError(f"view {name!r}", f"is not known; known are {known}")
    _check_usage(name, None, to, database)
    return partial(any_view.load(any_view.item.path), name=name)


def _check_usage(name: str, item: Rebuild | None, to: Path | None, database: str | None) -> None:
    """Refuse a place that the projection cannot be in, as wrong usage; any other is in tables."""
    if item is not None and not item.database and (to is None or database is not None):
        raise typer.BadParameter(f"the view {name!r} needs --to DIR, and no --database")
    if to is not None and (item is None or not item.directory):
        raise typer.BadParameter(f"the view {name!r} is in a database: give --database URL")
    if to is not None and database is not None:
        raise typer.BadParameter("files and tables are two views: give --to or --database")
