"""A projection whose tables show when a reader sees parts of two moments, or of two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Connection, Integer, MetaData, String, Table, select

from projections import TableProjection
from projections.tables.checkpoints import projection_table
from projections.tables.columns import keys, required
from projections.tables.upsert import increment

if TYPE_CHECKING:
    from eventstore import Event

_tables = MetaData()
parts = Table(
    "parts",
    _tables,
    *keys(String, "key"),
    *keys(Integer, "version"),
    *required(Integer, "total"),
)
whole = Table(
    "whole",
    _tables,
    *keys(Integer, "version"),
    *required(Integer, "total"),
)


class Parts(TableProjection):
    """Counts every event ``version`` times: by its stream in one table, all in the other."""

    name = "parts"
    metadata: ClassVar[MetaData] = _tables

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version  # type: ignore[misc]  # Of the object: one for each version.

    def handle(self, connection: Connection, event: Event) -> None:
        """Count the event in both tables."""
        add = {"total": self.version}
        increment(connection, parts, {"key": event.stream, "version": self.version}, add)
        increment(connection, whole, {"version": self.version}, add)


def look(connection: Connection) -> tuple[int, int, str]:
    """Return version and position of the tables, and what in them is not of these; "" if all is."""
    c = projection_table.c
    found = select(c.version, c.position).where(c.name == Parts.name)
    version, position = connection.execute(found).one()
    sums = [tuple(row) for row in connection.execute(select(whole))]
    rows = [tuple(row) for row in connection.execute(select(parts))]
    total = sum(row[2] for row in rows)
    good = (
        sums == [(version, total)]
        and {row[1] for row in rows} == {version}
        and total == version * position
    )
    return version, position, "" if good else f"whole {sums}, parts {rows}"
