"""The checkpoints of table projections: how far each has come, and what it passed over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from eventstore.log.clock import system_clock
from projections.tables.columns import ByteOrder, keys, optional, required, storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Row

    from eventstore.log.events import Cursor

checkpoint_tables: Final = MetaData()

BUILDING: Final = "projection_building_"
"""Begins the names of what holds a version that is being built beside the old one."""

projection_table: Final = Table(
    "projection",
    checkpoint_tables,
    *keys(ByteOrder, "name"),
    *required(Integer, "version"),
    *optional(String, "log_id"),
    *optional(BigInteger, "position"),
    *optional(LargeBinary, "hash"),
    # Rises with each opening: a runner that holds a lower one no longer owns the projection.
    *required(BigInteger, "epoch"),
)

building_tables: Final = MetaData()

building_table: Final = projection_table.to_metadata(building_tables, name="projection_building")
"""The checkpoints of versions that are being built beside the old ones, each by its build's key."""

_BUILD: Final = "projection_build"
"""The option of a connection that names the build whose tables its statements find."""

_READ: Final = {
    table.name: select(*(table.c[name] for name in ("log_id", "position", "hash", "version")))
    .where(table.c.name == bindparam("projection_name"))
    .with_for_update()
    for table in (projection_table, building_table)
}
"""Reads a checkpoint, and locks its row; made once, because each append executes it."""

_STORE: Final = {
    table.name: update(table)
    .where(table.c.name == bindparam("projection_name"))
    .values({name: bindparam(f"new_{name}") for name in ("log_id", "position", "hash")})
    for table in (projection_table, building_table)
}
"""Stores a checkpoint."""

_CHECKPOINT: Final = "SELECT log_id, position, hash, version FROM projection WHERE name = ?"
CHECKPOINT: Final = {"sqlite": _CHECKPOINT, "postgresql": f"{_CHECKPOINT} FOR UPDATE"}
MOVE_CHECKPOINT: Final = "UPDATE projection SET log_id = ?, position = ?, hash = ? WHERE name = ?"
"""The same for the driver, for appends: they mean the projection's own row, not that of a build."""

set_aside_table: Final = Table(
    "projection_set_aside",
    checkpoint_tables,
    *keys(ByteOrder, "projection"),
    *keys(BigInteger, "position"),
    *required(String, "reason"),
)

redacted_table: Final = Table(
    "projection_redacted",
    checkpoint_tables,
    # Redacted events that the projection has passed over or taken out: it ignores their
    # redaction when it reads that later.
    *keys(String, "projection"),
    *keys(BigInteger, "position"),
)

failure_table: Final = Table(
    "projection_failure",
    checkpoint_tables,
    # The event at which a followed projection has stopped, until it has got past it.
    *keys(ByteOrder, "name"),
    *required(BigInteger, "position"),
    *required(String, "reason"),
    *required(BigInteger, "failed_us"),
)


def place_of(connection: Connection, name: str) -> tuple[Table, str]:
    """Return the table and the key of a projection's checkpoint: within a build, the build's."""
    key = connection.get_execution_options().get(_BUILD)
    return (projection_table, name) if key is None else (building_table, key)


@contextmanager
def checkpoint_of_build(connection: Connection, key: str) -> Iterator[None]:
    """Let the statements of the block mean the checkpoint of a build."""
    connection.execution_options(**{_BUILD: key})
    try:
        yield
    finally:
        connection.execution_options(**{_BUILD: None})


def read_checkpoint(connection: Connection, name: str) -> Row[Any] | None:
    """Return log id, position, hash and version of a checkpoint, its row locked."""
    table, key = place_of(connection, name)
    return connection.execute(_READ[table.name], {"projection_name": key}).one_or_none()


def store_checkpoint(connection: Connection, name: str, cursor: Cursor) -> None:
    """Store a cursor as the checkpoint."""
    table, key = place_of(connection, name)
    new = {"new_log_id": cursor.log_id, "new_position": cursor.position, "new_hash": cursor.hash}
    connection.execute(_STORE[table.name], {"projection_name": key, **new})


def copy_checkpoint(connection: Connection, name: str, schema: str) -> None:
    """Take the checkpoint in ``schema``: version, cursor, events set aside or redacted."""
    c, other = projection_table.c, MetaData()
    other_table = projection_table.to_metadata(other, schema=schema)
    names = ("version", "log_id", "position", "hash")
    row = connection.execute(
        select(*(other_table.c[name] for name in names)).where(other_table.c.name == name)
    ).one()
    connection.execute(
        update(projection_table).where(c.name == name).values(dict(zip(names, row, strict=True)))
    )
    for table in (set_aside_table, redacted_table):
        new = table.to_metadata(other, schema=schema)
        connection.execute(delete(table).where(table.c.projection == name))
        connection.execute(insert(table).from_select(new.c.keys(), select(new)))


def set_aside(connection: Connection, name: str, position: int, reason: str) -> None:
    """Store that a projection has passed over an event, and why."""
    _, key = place_of(connection, name)
    row = {"projection": key, "position": position, "reason": storable(reason)}
    connection.execute(insert(set_aside_table), row)


def record_failure(connection: Connection, name: str, position: int, reason: str) -> None:
    """Store that a projection has stopped at an event, and why."""
    clear_failure(connection, name)
    now = system_clock()
    row = {"name": name, "position": position, "reason": storable(reason), "failed_us": now}
    connection.execute(insert(failure_table), row)


def clear_failure(connection: Connection, name: str) -> None:
    """Store that a projection has got past the event at which it stopped."""
    connection.execute(delete(failure_table).where(failure_table.c.name == name))


def has_failure(connection: Connection, name: str) -> bool:
    """Return whether a projection has stopped at an event."""
    found = select(failure_table.c.position).where(failure_table.c.name == name)
    return connection.execute(found).first() is not None


def own_schema(connection: Connection) -> str:
    """Return the schema that a projection's tables are in: of temporary tables in a rebuild.

    A rebuild that readers do not see fills temporary tables, which a statement finds first.
    """
    names = connection.get_execution_options().get("schema_translate_map")
    if names:
        return str(names[None])
    if connection.dialect.name == "postgresql":
        return str(connection.execute(text("SELECT current_schema()")).scalar_one())
    hidden = text("SELECT 1 FROM temp.sqlite_master WHERE name = 'projection' AND type = 'table'")
    return "main" if connection.execute(hidden).first() is None else "temp"


def is_hidden(schema: str) -> bool:
    """Return whether a schema is that of a connection's temporary tables, or of a build."""
    return schema == "temp" or schema.startswith(("pg_temp", BUILDING))


@contextmanager
def own_schema_only(connection: Connection, schema: str | None = None) -> Iterator[str]:
    """Let table names mean tables of one schema alone, by default the connection's own.

    A search path may go on to other schemas. Tables of the same names there belong to another
    log: this one neither uses nor drops them.
    """
    before = connection.get_execution_options().get("schema_translate_map")
    schema = schema or own_schema(connection)
    connection.execution_options(schema_translate_map={None: schema})
    try:
        yield schema
    finally:
        connection.execution_options(schema_translate_map=before)
