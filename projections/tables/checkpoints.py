"""The checkpoints of table projections: how far each has come, and what it passed over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

from projections.tables.columns import ByteOrder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

checkpoint_tables: Final = MetaData()

projection_table: Final = Table(
    "projection",
    checkpoint_tables,
    Column("name", ByteOrder, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("log_id", String),
    Column("position", BigInteger),
    Column("hash", LargeBinary),
    # Rises with each opening: a runner that holds a lower one no longer owns the projection.
    Column("epoch", BigInteger, nullable=False),
)

set_aside_table: Final = Table(
    "projection_set_aside",
    checkpoint_tables,
    Column("projection", ByteOrder, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
)

redacted_table: Final = Table(
    "projection_redacted",
    checkpoint_tables,
    # Redacted events that the projection has passed over or taken out: it ignores their
    # redaction when it reads that later.
    Column("projection", String, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
)


@contextmanager
def own_schema_only(connection: Connection) -> Iterator[None]:
    """Let table names mean tables of the connection's own schema alone.

    A search path may go on to other schemas. Tables of the same names there belong to another
    log: this one neither uses nor drops them.
    """
    schema = None
    if connection.dialect.name == "postgresql":
        schema = connection.execute(text("SELECT current_schema()")).scalar_one()
    connection.execution_options(schema_translate_map={None: schema})
    try:
        yield
    finally:
        connection.execution_options(schema_translate_map=None)
