"""Questions for registrations, one and many, as statements that are compiled once for each shape.

Each function returns SQL with its values; the rows are those of :class:`Row`, unless it says so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, case, func, select

from projections.registry.queries.metadata_order import metadata_order
from projections.registry.sorting import METADATA, SortEntry
from projections.registry.tables import ACCESS, bot_table, metadata_digest, metadata_table
from projections.tables.access_times import access_time_table, delete_access_time
from projections.tables.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Select

    from eventstore.storage.driver import Query
    from projections.registry.listing import Listing
    from projections.registry.model import Status


class Row(NamedTuple):
    """A registration as it is stored; ``accessed_us`` is kept beside the log."""

    key: str
    status: Status
    body: str
    created_us: int
    updated_us: int
    accessed_us: int | None
    version: int


def _rows(*more: ColumnElement[Any]) -> Select[Any]:
    """Select the columns of :class:`Row`, and others after them."""
    c = bot_table.c
    return select(c.key, c.status, c.body, c.created_us, c.updated_us, _AT_US, c.version, *more)


# A look-up for each row: joined, a server that has not counted the times yet compares each with
# each.
_AT_US: Final = (
    select(access_time_table.c.at_us)
    .where(access_time_table.c.kind == ACCESS, access_time_table.c.key == bot_table.c.key)
    .scalar_subquery()
)


_FIND: Final = Statement(_rows().where(bot_table.c.key == bindparam("of")))


def find(dialect: str, key: str) -> Query:
    """Ask for one registration."""
    return _FIND.ask(dialect, of=key)


def find_all(dialect: str, listing: Listing) -> Query:
    """Ask for the registrations of a listing, in its order."""
    cut = listing.limit is not None or bool(listing.offset)
    shape = _shape(listing)
    statement = _listed(shape, listing.sort, dialect, descending=listing.descending, cut=cut)
    limit = _NO_LIMIT if listing.limit is None else listing.limit
    return statement.ask(dialect, limit=limit, offset=listing.offset, **_values(listing))


def find_batch(dialect: str, listing: Listing, after: int, until: int) -> Query:
    """Ask for the next registrations of a stream, each row with its first position at its end.

    ``after`` is the first position of the one before, ``until`` that of the last one at all.
    """
    return _batch(_shape(listing)).ask(
        dialect, after=after, until=until, limit=listing.limit, **_values(listing)
    )


def find_last(dialect: str) -> Query:
    """Ask for the first position of the last registration; ``None`` where there is none."""
    return _LAST.ask(dialect)


def list_keys(dialect: str, status: str) -> Query:
    """Ask for the keys of all registrations with this status, in order of first registration."""
    return _KEYS.ask(dialect, status=status)


def count(dialect: str, listing: Listing) -> Query:
    """Ask for the number of registrations in a listing; its limit and offset do not count."""
    return _counted(_shape(listing)).ask(dialect, **_values(listing))


def delete_access_times(connection: Connection, keys: Sequence[str]) -> None:
    """Delete the access times of registrations that were removed."""
    for key in keys:
        delete_access_time(connection, ACCESS, key)


_NO_LIMIT: Final = 2**63 - 1
_SHAPES: Final = 256
_ACCESSED: Final = case(
    (bot_table.c.created_us < _AT_US, _AT_US),
    else_=bot_table.c.created_us,
)
_FIELDS: Final[dict[str, ColumnElement[Any]]] = {
    "created_at": bot_table.c.created_us,
    "updated_at": bot_table.c.updated_us,
    "last_accessed_at": _ACCESSED,
    "bot_id": bot_table.c.key,
    "status": bot_table.c.status,
}
_LAST: Final = Statement(select(func.max(bot_table.c.first_position)))
_KEYS: Final = Statement(
    select(bot_table.c.key)
    .where(bot_table.c.status == bindparam("status"))
    .order_by(bot_table.c.first_position)
)


class _Shape(NamedTuple):
    """How many values each filter of a listing has: what its statements differ by."""

    statuses: int
    metadata: int


def _shape(listing: Listing) -> _Shape:
    return _Shape(len(listing.statuses), len(listing.metadata))


def _values(listing: Listing) -> dict[str, str]:
    found = {f"status{n}": status for n, status in enumerate(listing.statuses)}
    for n, (name, value) in enumerate(listing.metadata.items()):
        found[f"digest{n}"] = metadata_digest(name, value)
    return found


@lru_cache(_SHAPES)
def _listed(
    shape: _Shape, sort: tuple[SortEntry, ...], dialect: str, *, descending: bool, cut: bool
) -> Statement:
    query = _sorted(_filtered(_rows(), shape), sort, dialect, descending=descending)
    if cut:
        query = query.limit(bindparam("limit", type_=BigInteger))
        query = query.offset(bindparam("offset", type_=BigInteger))
    return Statement(query)


@lru_cache(_SHAPES)
def _batch(shape: _Shape) -> Statement:
    first = bot_table.c.first_position
    rows = _filtered(_rows(first), shape)
    query = rows.where(first > bindparam("after"), first <= bindparam("until"))
    return Statement(query.order_by(first).limit(bindparam("limit", type_=BigInteger)))


@lru_cache(_SHAPES)
def _counted(shape: _Shape) -> Statement:
    return Statement(_filtered(select(func.count()).select_from(bot_table), shape))


def _sorted(
    query: Select[Any], sort: Sequence[SortEntry], dialect: str, *, descending: bool
) -> Select[Any]:
    first = bot_table.c.first_position
    if not sort:
        return query.order_by(first.desc() if descending else first)
    columns: list[ColumnElement[Any]] = []
    for entry in sort:
        if (column := _FIELDS.get(entry.field)) is not None:
            keys = [column]
        else:
            keys = metadata_order(bot_table.c.body, entry.field.removeprefix(METADATA), dialect)
        # Those without a value come last, either way.
        columns += [(key.desc() if entry.descending else key.asc()).nulls_last() for key in keys]
    return query.order_by(*columns, first)


def _filtered(query: Select[Any], shape: _Shape) -> Select[Any]:
    for n in range(shape.statuses):
        query = query.where(bot_table.c.status == bindparam(f"status{n}"))
    for n in range(shape.metadata):
        c = metadata_table.c
        matching = select(c.key).where(c.value == bindparam(f"digest{n}"))
        query = query.where(bot_table.c.key.in_(matching))
    return query
