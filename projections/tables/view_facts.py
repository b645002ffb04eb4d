"""What a database knows of its table projections: each version that it holds, and how far it is.

Only reading. The cost does not grow with the tables: rows are counted up to a limit, and sizes in
bytes are what the server knows without a look at the rows.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, inspect, literal_column, select, table, text
from sqlalchemy.sql.elements import quoted_name

from projections.tables._builds import SEPARATOR
from projections.tables.checkpoints import (
    building_table,
    failure_table,
    own_schema,
    own_schema_only,
    projection_table,
    set_aside_table,
)
from projections.tables.ledger import ledger_table, read_columns
from projections.tables.snapshots import read_folds
from projections.tables.view_model import Look, SetAside, Size, ViewVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Table

    from eventstore import EventStore
    from eventstore.log.operations import Head

COUNTED_ROWS: Final = 100_000
"""Rows that are counted, in all tables of a projection together, at the most."""

SHOWN_SET_ASIDE: Final = 100
"""Events set aside that are listed, the first ones; all of them are counted."""

_BYTES: Final = text(
    "SELECT pg_catalog.pg_total_relation_size(c.oid), "
    "pg_catalog.has_table_privilege(c.oid, 'SELECT') FROM pg_catalog.pg_class c "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = :table"
)


async def look_at_views(store: EventStore) -> Look:
    """Look at the database of an open log: at its views, and at the snapshots of folds."""

    def read(connection: Connection, head: Head) -> Look:
        folds = read_folds(connection, head.log_id)
        return Look(head.position, read_views(connection), monotonic(), folds)

    return await store.query(read)


def read_views(
    connection: Connection, name: str | None = None, *, sizes: bool = True
) -> list[ViewVersion]:
    """Return each version of each table projection in the database, by name and version.

    Or of the one called ``name``. Without ``sizes`` no row of its tables is counted.
    """
    schema = own_schema(connection)
    with own_schema_only(connection, schema):
        found = _read(connection, schema, name, sizes=sizes)
        return sorted(found, key=lambda one: (one.name, one.version))


def _read(
    connection: Connection, schema: str, name: str | None, *, sizes: bool
) -> Iterator[ViewVersion]:
    has = set(inspect(connection).get_table_names(schema=schema))
    failures = {row.name: row for row in _rows(connection, failure_table, has)}
    for row in _rows(connection, projection_table, has):
        if name not in {None, row.name}:
            continue
        tables = _tables(connection, row.name, has)
        failure = failures.get(row.name)
        yield ViewVersion(
            row.name,
            row.version,
            row.position or 0,
            is_build=False,
            is_followed=row.epoch > 0,
            failed_at=failure and failure.position,
            failure=failure and failure.reason,
            set_aside=_set_aside(connection, row.name, has),
            set_aside_count=_count_set_aside(connection, row.name, has),
            tables=tables,
            size=_size(connection, schema, tables) if sizes else None,
        )
    for row in _rows(connection, building_table, has):
        if name not in {None, row.name.partition(SEPARATOR)[0]}:
            continue
        yield ViewVersion(
            row.name.partition(SEPARATOR)[0],
            row.version,
            row.position or 0,
            is_build=True,
            is_followed=False,
            failed_at=None,
            failure=None,
            set_aside=_set_aside(connection, row.name, has),
            set_aside_count=_count_set_aside(connection, row.name, has),
            tables=(),
            size=None,
        )


def _rows(connection: Connection, found: Table, has: set[str]) -> list[Any]:
    return list(connection.execute(select(found))) if found.name in has else []


def _set_aside(connection: Connection, key: str, has: set[str]) -> tuple[SetAside, ...]:
    if set_aside_table.name not in has:
        return ()
    c = set_aside_table.c
    found = select(c.position, c.reason).where(c.projection == key)
    rows = connection.execute(found.order_by(c.position).limit(SHOWN_SET_ASIDE))
    return tuple(SetAside(*row) for row in rows)


def _count_set_aside(connection: Connection, key: str, has: set[str]) -> int:
    if set_aside_table.name not in has:
        return 0
    c = set_aside_table.c
    found = select(func.count()).select_from(set_aside_table).where(c.projection == key)
    return int(connection.execute(found).scalar_one())


def _tables(connection: Connection, name: str, has: set[str]) -> tuple[str, ...]:
    """Return the tables that the projection has made and that are there."""
    if ledger_table.name not in has:
        return ()
    c = ledger_table.c
    found = select(c.table_name).where(c.projection == name, c.table_name != "")
    names = connection.execute(found.order_by(c.table_name)).scalars()
    return tuple(one for one in names if read_columns(connection, one).names)


def _size(connection: Connection, schema: str, tables: tuple[str, ...]) -> Size:
    rows, size, readable = 0, None, True
    for name in tables:
        if connection.dialect.name == "postgresql":
            found = connection.execute(_BYTES, {"schema": schema, "table": name}).one()
            size, readable = (size or 0) + found[0], found[1]
        if readable and rows <= COUNTED_ROWS:
            rows += _count(connection, schema, name, COUNTED_ROWS + 1 - rows)
    return Size(min(rows, COUNTED_ROWS), rows > COUNTED_ROWS, size)


def _count(connection: Connection, schema: str, name: str, limit: int) -> int:
    there = table(quoted_name(name, quote=True), schema=quoted_name(schema, quote=True))
    some = select(literal_column("1")).select_from(there).limit(limit).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())
