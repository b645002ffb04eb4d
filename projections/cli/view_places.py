"""Which database a view is in that a command names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.errors import InvalidInputError, StorageError
from projections.elsewhere import read_elsewhere
from projections.tables.places import LogPlace, place_at
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import EventStore
    from projections.tables.places import ViewPlace
    from projections.tables.view_model import ViewVersion

Database = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="The database of the view, where it is another one than the log's; default: as the "
        "runner of the view has told the log.",
    ),
]


async def find_view(
    store: EventStore, name: str, database: str | None, *, new: bool = False
) -> ViewPlace:
    """Return where a view is: in the database that is named, in the log's, or as the log knows.

    Raises InvalidInputError where no such view is there; with ``new`` that is where it is to be.
    """
    place = await place_at(store, database)
    views = await place.query(read_views)
    if database is None and name not in {view.name for view in views}:
        place, views = await _find_elsewhere(store, name, views)
    if not new and name not in {view.name for view in views}:
        raise unknown_view(f"view {name!r}", views, place.name)
    return place


async def _find_elsewhere(
    store: EventStore, name: str, here: list[ViewVersion]
) -> tuple[ViewPlace, list[ViewVersion]]:
    """Open the database that the log knows of; it has been told of no user and no password."""
    told = await read_elsewhere(store, name)
    if not told:
        return LogPlace(store), here
    if len(told) > 1:
        places = ", ".join(one.url for one in told)
        raise InvalidInputError(f"view {name!r}", f"is in {places}: say with --database in which")
    try:
        place = await place_at(store, told[0].url)
        return place, await place.query(read_views)
    except StorageError as error:
        raise InvalidInputError(
            f"view {name!r}",
            f"is in {told[0].place}, which cannot be opened without more ({error}): give its URL "
            "with --database, or set the variables of PostgreSQL's clients (PGUSER, PGPASSFILE)",
        ) from error


def unknown_view(what: str, views: Sequence[ViewVersion], place: str) -> InvalidInputError:
    """Say that a view is not there, and which ones are."""
    names = ", ".join(
        f"{view.name}@{view.version}" if view.is_build else view.name for view in views
    )
    where = place or "the log's database"
    return InvalidInputError(
        what, f"is not in {where}; there {'are ' + names if names else 'is none'}"
    )
