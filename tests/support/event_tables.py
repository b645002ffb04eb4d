"""Tables of projections in tests: a row per event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, MetaData, Table

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine


def event_table(name: str, **columns: type[TypeEngine[Any]]) -> Table:
    """Return a table whose key is an event's position, alone in a MetaData of its own."""
    others = (Column(column, kind) for column, kind in columns.items())
    return Table(
        name,
        MetaData(),
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        *others,
    )
