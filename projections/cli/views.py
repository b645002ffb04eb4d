"""``views``: every version of every view, in the log's database and in others."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

import anyio

from eventstore.cli.moments import At
from eventstore.cli.session import Session
from eventstore.errors import InvalidInputError
from projections.cli.view_places import Database
from projections.cli.view_states import COLUMNS, row_of
from projections.elsewhere import read_elsewhere
from projections.tables.places import place_at
from projections.tables.view_facts import look_at_views, read_views
from projections.tables.view_model import Look
from projections.tables.view_states import describe_views, has_builds
from projections.troubles import read_troubles

if TYPE_CHECKING:
    from eventstore import EventStore
    from projections.tables.places import ViewPlace

LOOK_SECONDS: Final = 1.0
"""Time between two looks at a build, from which its speed is known."""

NO_PAST: Final = (
    "the tables of a view hold its present state only: 'rules --at' and 'project --at' compute an "
    "earlier one from the log, and so does ProjectionRunner.catch_up(until=…) into a new database"
)

pause: Final = anyio.sleep
"""Waits between two looks; a test that goes on meanwhile puts its own in the place."""


async def views(session: Session, *, database: Database = None, at: At = None) -> None:
    """List every version of every view and of every fold, with position, size and state.

    "behind" counts events. Where a version is being built, the command looks twice, a second apart,
    and says how long the rest takes at that speed. Of views in other databases the log knows what
    their runners have told it; --database looks into one. Of views in directories it knows only
    those whose runs fail, and of folds their snapshots beside the log.
    """
    if at is not None:
        raise InvalidInputError("--at", NO_PAST)
    async with session.open_store() as store:
        place = await place_at(store, database)
        look, before = await _look(store, place), None
        if has_builds(look):
            await pause(LOOK_SECONDS)
            look, before = await _look(store, place), look
        told = [] if place.name else await read_elsewhere(store)
        troubles = [one for one in await read_troubles(store) if place.name in {"", one.place}]
        where = place.name or store.url
        listed = describe_views(look, before, troubles, where, told, store.clock())
    where = place.name or "the log's database"
    nothing = f"no views: {where} holds none, and none is known to fail"
    session.output.listing(listed, dict, COLUMNS, row_of, nothing)


async def _look(store: EventStore, place: ViewPlace) -> Look:
    if place.name:
        views = await place.query(read_views)
        return Look((await store.head()).position, views, monotonic())
    return await look_at_views(store)
