"""Applying events again that a table projection has set aside, by a word of an operator."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import delete, inspect, select

from eventstore.errors import ProjectionError
from projections.tables.checkpoints import own_schema, own_schema_only, set_aside_table
from projections.tables.places import LogPlace

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from eventstore import Event, EventStore
    from projections.tables.places import ViewPlace
    from projections.tables.projection import TableProjection


class Retried(NamedTuple):
    """The positions of events that are applied now, and why others still cannot be."""

    applied: list[int]
    left: dict[int, str]


async def retry_set_aside(
    store: EventStore,
    projection: TableProjection,
    positions: Collection[int] | None = None,
    *,
    place: ViewPlace | None = None,
) -> Retried:
    """Give events that were set aside to the handler again, in order, each in its own transaction.

    Of a projection in the log's database, or in ``place``; all of its events, or those at
    ``positions``. They come after events that were applied since. Raises ProjectionVersionError
    where the tables are of another version.
    """
    done, place = Retried([], {}), place or LogPlace(store)
    known = await place.query(lambda connection: _positions(connection, projection.name))
    for position in known:
        if positions is not None and position not in positions:
            continue
        events = [e async for e in store.read(after=position - 1, until=position, kept=True)]
        if not events:
            done.left[position] = "the event was trimmed"
            continue
        try:
            await place.transact(partial(_retry, projection=projection, event=events[0]))
        except ProjectionError as error:
            done.left[position] = error.reason
        else:
            done.applied.append(position)
    return done


def _positions(connection: Connection, name: str) -> list[int]:
    schema = own_schema(connection)
    if not inspect(connection).has_table(set_aside_table.name, schema=schema):
        return []
    c = set_aside_table.c
    with own_schema_only(connection, schema):
        found = select(c.position).where(c.projection == name).order_by(c.position)
        return list(connection.execute(found).scalars())


def _retry(connection: Connection, projection: TableProjection, event: Event) -> None:
    """Apply the event, unless another process has done so by now."""
    cursor = projection.cursor(connection)
    c = set_aside_table.c
    mine = (c.projection == projection.name) & (c.position == event.position)
    if cursor is None or connection.execute(delete(set_aside_table).where(mine)).rowcount == 0:
        return
    projection.apply(connection, [event], cursor)
    reason = connection.execute(select(c.reason).where(mine)).scalar_one_or_none()
    if reason is not None:  # Set aside again: as it was before.
        raise ProjectionError(projection.name, event.position, reason)
