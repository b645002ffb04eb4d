"""Waiting until a followed projection shows an event, in the runner's process or in another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
from sqlalchemy import inspect, select

from eventstore.errors import HistoryDivergedError, NotAppliedError, ProjectionError
from projections.tables.checkpoints import failure_table, own_schema, projection_table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore.log.events import Cursor
    from projections.tables.database import Database

POLL_SECONDS: Final = 0.02
"""Time between two reads of a checkpoint."""


class _Place(NamedTuple):
    """Where a projection is, its version, and the event at which it has stopped."""

    log_id: str | None = None
    position: int = 0
    hash: bytes = b""
    version: int = 0
    failed_at: int | None = None
    reason: str = ""


async def wait_at_least(
    database: Database, name: str, version: int, cursor: Cursor, timeout: float
) -> None:
    """Return once the projection, of ``version`` or a newer one, is at ``cursor`` or past it.

    ``database`` is this wait's own, not open yet. For what it raises see
    :meth:`projections.tables.followed.FollowedTables.at_least`.
    """
    deadline = anyio.current_time() + timeout
    database.open()
    try:
        while True:
            place = await anyio.to_thread.run_sync(_read, database, name)
            if place.log_id not in {None, cursor.log_id} or _differs(place, cursor):
                reason = f"projection {name!r} in {database.url} was made from another log"
                raise HistoryDivergedError(cursor.position, place.position, reason)
            # Tables of an older version have the event in a shape that this program cannot read.
            if place.version >= version and place.position >= cursor.position:
                return
            if place.failed_at is not None and place.failed_at <= cursor.position:
                raise ProjectionError(name, place.failed_at, place.reason)
            if anyio.current_time() >= deadline:
                at = None if place.log_id is None else place.position
                raise NotAppliedError(cursor.position, {f"view {name}": at}, timeout)
            await anyio.sleep(min(POLL_SECONDS, max(0.0, deadline - anyio.current_time())))
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(database.close)


def _differs(place: _Place, cursor: Cursor) -> bool:
    """Return whether another event is at the position, as in a log that was restored."""
    return place.position == cursor.position and place.hash != cursor.hash


def _read(database: Database, name: str) -> _Place:
    with database.reading() as connection:
        return _Place() if connection is None else _place(connection, name)


def _place(connection: Connection, name: str) -> _Place:
    schema = own_schema(connection)
    if not inspect(connection).has_table(projection_table.name, schema=schema):
        return _Place()
    c, failed = projection_table.c, failure_table.c
    found = select(c.log_id, c.position, c.hash, c.version).where(c.name == name)
    row = connection.execute(found).one_or_none()
    if row is None or row.log_id is None:
        return _Place()
    failure = connection.execute(
        select(failed.position, failed.reason).where(failed.name == name)
    ).one_or_none()
    return _Place(*row, *(failure or ()))
