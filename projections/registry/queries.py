"""Questions that the registry asks of its tables; each function reads within one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, func, select

from projections.registry.tables import ACCESS, bot_table, metadata_digest, metadata_table
from projections.tables.access_times import access_time_table, delete_access_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Select

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


def _rows() -> Select[Any]:
    c, access = bot_table.c, access_time_table.c
    joined = bot_table.outerjoin(
        access_time_table, and_(access.kind == ACCESS, access.key == c.key)
    )
    return select(
        c.key, c.status, c.body, c.created_us, c.updated_us, c.position, c.version, access.at_us
    ).select_from(joined)


def find(connection: Connection, key: str) -> Row | None:
    """Return one registration; ``None`` where there is none."""
    row = connection.execute(_rows().where(bot_table.c.key == key)).one_or_none()
    return None if row is None else Row(*row)


def find_all(connection: Connection, listing: Listing) -> list[Row]:
    """Return the registrations that a listing asks for, in its order."""
    order = _ORDERS[listing.sort]
    first = bot_table.c.first_position
    columns = [order, first] if order is not first else [first]
    query = _filtered(_rows(), listing).order_by(
        *(column.desc() if listing.descending else column.asc() for column in columns)
    )
    if listing.limit is not None or listing.offset:
        query = query.limit(_NO_LIMIT if listing.limit is None else listing.limit)
        query = query.offset(listing.offset)
    return [Row(*row) for row in connection.execute(query)]


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
_ORDERS: Final = {
    "created_at": bot_table.c.first_position,
    "updated_at": bot_table.c.position,
    "bot_id": bot_table.c.key,
    "status": bot_table.c.status,
}


def _filtered(query: Select[Any], listing: Listing) -> Select[Any]:
    if listing.statuses:
        query = query.where(bot_table.c.status.in_(listing.statuses))
    for name, value in (listing.metadata or {}).items():
        c = metadata_table.c
        matching = select(c.key).where(c.value == metadata_digest(name, value))
        query = query.where(bot_table.c.key.in_(matching))
    return query
