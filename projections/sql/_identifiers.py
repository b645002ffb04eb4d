"""Names in SQL: how they are quoted, and which of them the log and this package reserve."""

from __future__ import annotations

from typing import Final

from eventstore.storage.catalog import TABLES as LOG_TABLES

CAPTURE: Final = "sql_capture"
"""The capture table. The names of its triggers, functions and indexes begin with it too."""

LEDGER: Final = "schema_migrations"
"""The table of the migrations that were applied."""

RESERVED: Final = frozenset([*LOG_TABLES, LEDGER, CAPTURE])
"""Tables of the log and of this package, which no migration may make or change."""


def quote_name(name: str) -> str:
    """Return an identifier as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """Return a text literal as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def is_reserved(name: str) -> bool:
    """Return True for tables of the log and of this package; SQLite's names in lower case."""
    return name in RESERVED or name.startswith(CAPTURE)


def excerpt(statement: str) -> str:
    """Return the first 80 characters of a statement on one line, quoted, for messages."""
    return repr(" ".join(statement.split())[:80])
