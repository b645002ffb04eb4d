"""The ledger of views: how far each has come, what it passed over; and text as tables hold it."""

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
    Text,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

ByteOrder: Final = String().with_variant(String(collation="C"), "postgresql")
ByteOrderText: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts the same in every database: by its bytes in UTF-8, as on SQLite."""

ledger_tables: Final = MetaData()

projection_table: Final = Table(
    "projection",
    ledger_tables,
    Column("name", ByteOrder, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("log_id", String),
    Column("position", BigInteger),
    Column("hash", LargeBinary),
    # Rises with each opening; a runner that holds an older one has lost the view.
    Column("epoch", BigInteger, nullable=False),
)

set_aside_table: Final = Table(
    "projection_set_aside",
    ledger_tables,
    Column("projection", ByteOrder, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
)


redacted_table: Final = Table(
    "projection_redacted",
    ledger_tables,
    # Redacted events that the view has passed over, or taken out: their redaction, when it
    # comes by, asks nothing of it any more.
    Column("projection", String, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
)


def escape_nul(text: str) -> str:
    r"""Return ``text`` without NUL characters, which PostgreSQL refuses: as ``\u0000``.

    Different texts stay different, so keys do: a text that already shows the escape gets its
    backslashes doubled. Any other text stays as it is.
    """
    if "\0" not in text and "\\u0000" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\0", "\\u0000")


def storable(text: str) -> str:
    """Return ``text`` as every database takes it: without NUL characters and half characters."""
    return escape_nul(text).encode(errors="backslashreplace").decode()


@contextmanager
def home_only(connection: Connection) -> Iterator[None]:
    """Let tables mean those of the connection's own schema alone.

    A search path may go on to other schemas, where tables of the same names are another
    log's: they must neither pass for ours nor be dropped.
    """
    home = None
    if connection.dialect.name == "postgresql":
        home = connection.execute(text("SELECT current_schema()")).scalar_one()
    connection.execution_options(schema_translate_map={None: home})
    try:
        yield
    finally:
        connection.execution_options(schema_translate_map=None)
