"""Removing a projection's tables and checkpoint, or one of its builds, by name alone.

The tables of other programs stay: the ledger says which ones are the projection's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
from sqlalchemy import MetaData, delete, inspect, select

from eventstore.log.validation import check_seconds
from eventstore.storage.held_wait import HeldError, HeldWait
from projections.tables import checkpoints
from projections.tables._builds import SEPARATOR
from projections.tables.building import make_build
from projections.tables.ledger import Ledger
from projections.tables.places import LogPlace

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import EventStore
    from eventstore.log.events import Cursor
    from projections.tables._builds import Build
    from projections.tables.places import ViewPlace

CLEARED_ROWS: Final = 1_000
"""Rows that one transaction takes out of a table that was dropped, on SQLite."""


class _Named:
    """What a build needs of a projection whose class is not at hand."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.version = version
        self.metadata = MetaData()

    def outdated(self, connection: Connection) -> bool:  # noqa: ARG002
        """Return False: the version is that of the tables."""
        return False

    def checkpoint(self, connection: Connection) -> tuple[Cursor | None, int]:
        """Refuse: nothing is swapped."""
        raise NotImplementedError


async def drop_view(
    store: EventStore,
    name: str,
    version: int | None = None,
    *,
    place: ViewPlace | None = None,
    wait: float = 30.0,
) -> bool:
    """Remove a version that is built beside the live one, or without ``version`` the whole view.

    Of a table projection in the log's database, or in ``place``. Returns False where there is
    none. A program that keeps the view begins it anew with its next append, or next event. Raises
    ProjectionHeldError on PostgreSQL where other sessions hold the tables for ``wait`` seconds.
    """
    dropped: list[bool] = []
    held = HeldWait(name, check_seconds("wait", wait, zero=True))
    place = place or LogPlace(store)

    def drop(connection: Connection) -> None:
        with checkpoints.own_schema_only(connection):
            found = (
                _drop(connection, name, held.patience)
                if version is None
                else _drop_build(connection, name, version)
            )
        dropped.append(found)

    while not dropped:
        try:
            await place.transact(drop)
        except HeldError as error:
            await anyio.sleep(held.pause(error.pids))
    more = [dropped[-1]]
    while more[-1]:
        await place.transact(partial(_clear, name=name, more=more))
    return dropped[-1]


def _drop(connection: Connection, name: str, seconds: float) -> bool:
    has = inspect(connection).get_table_names(schema=checkpoints.own_schema(connection))
    if checkpoints.projection_table.name not in has:
        return False
    c = checkpoints.projection_table.c
    found = select(c.version).where(c.name == name).with_for_update()
    version = connection.execute(found).scalar_one_or_none()
    if version is None:
        return False
    if checkpoints.building_table.name in has:
        for row in connection.execute(
            select(checkpoints.building_table.c.name, checkpoints.building_table.c.version)
        ).all():
            if row.name.rpartition(SEPARATOR)[0] == name:
                _build(connection, name, row.version).discard()
    live = _build(connection, name, version)
    if not live.drop_live(seconds):
        raise HeldError(live.holders)
    for table, column in (
        (checkpoints.projection_table, checkpoints.projection_table.c.name),
        (checkpoints.failure_table, checkpoints.failure_table.c.name),
        (checkpoints.set_aside_table, checkpoints.set_aside_table.c.projection),
        (checkpoints.redacted_table, checkpoints.redacted_table.c.projection),
    ):
        if table.name in has:
            connection.execute(delete(table).where(column == name))
    return True


def _drop_build(connection: Connection, name: str, version: int) -> bool:
    if not inspect(connection).has_table(
        checkpoints.building_table.name, schema=checkpoints.own_schema(connection)
    ):
        return False
    c = checkpoints.building_table.c
    found = select(c.name).where(c.name == f"{name}{SEPARATOR}{version}").with_for_update()
    if connection.execute(found).first() is None:
        return False
    _build(connection, name, version).discard()
    return True


def _clear(connection: Connection, name: str, more: list[bool]) -> None:
    more.append(_build(connection, name, 0).clear(CLEARED_ROWS))


def _build(connection: Connection, name: str, version: int) -> Build:
    ledger = Ledger(connection, name, version, ())
    return make_build(connection, _Named(name, version), ledger)
