"""The checkpoints of table projections: how far each has come, and what it passed over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)

from projections.tables.columns import ByteOrder, keys, optional, required

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

checkpoint_tables: Final = MetaData()

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
