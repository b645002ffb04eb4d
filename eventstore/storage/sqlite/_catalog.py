"""The log's schema as SQLite tells it, compared with that of a fresh log in memory."""

from __future__ import annotations

import sqlite3
from functools import cache

from eventstore.storage import migrations
from eventstore.storage.catalog import TABLES, as_catalog


def read_catalog(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the log's tables, indexes and triggers."""
    return as_catalog(
        (f"{kind} {name}" if kind == "table" else f"{kind} {name} on {table}", sql or "")
        for kind, name, table, sql in connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
        )
        if str(table).lower() in TABLES
    )


@cache
def fresh_catalog() -> dict[str, str]:
    """Return the catalog that all SQLite migrations make."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute(migrations.LEDGER)
        for step in migrations.known("sqlite"):
            connection.executescript(step.sql)
        return read_catalog(connection)
    finally:
        connection.close()
