"""Tables that are computed again where readers do not see them: temporary ones.

They have the names of the real tables, and a handler's SQL finds them first. Only their own
session sees them. At the end one transaction puts their rows in the place of the old ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import MetaData, Table, delete, func, insert, select, text

from projections.tables.checkpoints import own_schema_only

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from projections.tables.database import Rebuildable


def schemas(connection: Connection) -> tuple[str, str]:
    """Return the schema of a projection's own tables, and that of temporary ones."""
    if connection.dialect.name == "sqlite":
        return "main", "temp"
    return str(connection.execute(text("SELECT current_schema()")).scalar_one()), "pg_temp"


def take_over_hidden(connection: Connection, projection: Rebuildable) -> None:
    """Replace a projection's tables and its checkpoint by the temporary ones.

    The caller's transaction finds the projection's own schema first, on PostgreSQL.
    """
    own, hidden = schemas(connection)
    tables = projection.metadata.sorted_tables
    with own_schema_only(connection, own):
        if projection.outdated(connection):
            projection.recreate(connection)
        else:
            for table in reversed(tables):
                connection.execute(delete(table))
        for table in tables:
            _copy(connection, table, own, hidden)
        projection.copy_checkpoint(connection, hidden)


def _copy(connection: Connection, table: Table, own: str, hidden: str) -> None:
    rows = table.to_metadata(MetaData(), schema=hidden)
    columns = [column.name for column in table.columns if column.computed is None]
    connection.execute(
        insert(table).from_select(
            columns, select(*(rows.c[name] for name in columns)), include_defaults=False
        )
    )
    counted = table.autoincrement_column
    if counted is not None and connection.dialect.name == "postgresql":
        quote = connection.dialect.identifier_preparer.quote
        sequence = func.pg_get_serial_sequence(f"{quote(own)}.{quote(table.name)}", counted.name)
        connection.execute(select(func.setval(sequence, func.max(counted))))
