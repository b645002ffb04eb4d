"""Registrations as the tables have them, one and many; each function reads within one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, case, func, select

from projections.registry.queries.metadata_order import metadata_order
from projections.registry.sorting import METADATA
from projections.registry.tables import ACCESS, bot_table, metadata_digest, metadata_table
from projections.tables.access_times import access_time_table, delete_access_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from projections.registry.listing import Listing
    from projections.registry.model import Status


class Row(NamedTuple):
    """A registration as it is stored; ``accessed_us`` is kept beside the log."""

    key: str
    status: Status
    body: str
    created_us: int
    updated_us: int
    position: int
    version: int
    accessed_us: int | None
    first_position: int


def _rows() -> Select[Any]:
    c, access = bot_table.c, access_time_table.c
    joined = bot_table.outerjoin(
        access_time_table, and_(access.kind == ACCESS, access.key == c.key)
    )
    return select(
        c.key,
        c.status,
        c.body,
        c.created_us,
        c.updated_us,
        c.position,
        c.version,
        access.at_us,
        c.first_position,
    ).select_from(joined)


def find(connection: Connection, key: str) -> Row | None:
    """Return one registration; ``None`` where there is none."""
    row = connection.execute(_rows().where(bot_table.c.key == key)).one_or_none()
    return None if row is None else Row(*row)


def find_all(connection: Connection, listing: Listing) -> list[Row]:
    """Return the registrations that a listing asks for, in its order."""
    query = _sorted(_filtered(_rows(), listing), listing, connection.dialect.name)
    if listing.limit is not None or listing.offset:
        query = query.limit(_NO_LIMIT if listing.limit is None else listing.limit)
        query = query.offset(listing.offset)
    return [Row(*row) for row in connection.execute(query)]


def find_batch(
    connection: Connection, listing: Listing, after: int, until: int | None
) -> tuple[list[Row], int]:
    """Return the next registrations of a stream, and the first position of the last one at all.

    ``after`` is the first position of the one before, ``until`` what the first batch returned.
    """
    first = bot_table.c.first_position
    if until is None:
        until = connection.execute(select(func.max(first))).scalar() or 0
    query = _filtered(_rows(), listing).where(first > after, first <= until)
    rows = connection.execute(query.order_by(first).limit(listing.limit))
    return [Row(*row) for row in rows], until


def list_keys(connection: Connection, status: str) -> list[str]:
    """Return the keys of all registrations with this status, in order of first registration."""
    c = bot_table.c
    found = select(c.key).where(c.status == status).order_by(c.first_position)
    return list(connection.execute(found).scalars())


def count(connection: Connection, listing: Listing) -> int:
    """Return the number of registrations in a listing; its limit and offset do not count."""
    query = _filtered(select(func.count()).select_from(bot_table), listing)
    found: int = connection.execute(query).scalar_one()
    return found


def delete_access_times(connection: Connection, keys: Sequence[str]) -> None:
    """Delete the access times of registrations that were removed."""
    for key in keys:
        delete_access_time(connection, ACCESS, key)


_NO_LIMIT: Final = 2**63 - 1
_ACCESSED: Final = case(
    (access_time_table.c.at_us > bot_table.c.created_us, access_time_table.c.at_us),
    else_=bot_table.c.created_us,
)
_FIELDS: Final[dict[str, ColumnElement[Any]]] = {
    "created_at": bot_table.c.created_us,
    "updated_at": bot_table.c.updated_us,
    "last_accessed_at": _ACCESSED,
    "bot_id": bot_table.c.key,
    "status": bot_table.c.status,
}


def _sorted(query: Select[Any], listing: Listing, dialect: str) -> Select[Any]:
    first = bot_table.c.first_position
    if not listing.sort:
        return query.order_by(first.desc() if listing.descending else first)
    columns: list[ColumnElement[Any]] = []
    for entry in listing.sort:
        if (column := _FIELDS.get(entry.field)) is not None:
            keys = [column]
        else:
            keys = metadata_order(bot_table.c.body, entry.field.removeprefix(METADATA), dialect)
        # Those without a value come last, either way.
        columns += [(key.desc() if entry.descending else key.asc()).nulls_last() for key in keys]
    return query.order_by(*columns, first)


def _filtered(query: Select[Any], listing: Listing) -> Select[Any]:
    if listing.statuses:
        query = query.where(bot_table.c.status.in_(listing.statuses))
    for name, value in listing.metadata.items():
        c = metadata_table.c
        matching = select(c.key).where(c.value == metadata_digest(name, value))
        query = query.where(bot_table.c.key.in_(matching))
    return query
