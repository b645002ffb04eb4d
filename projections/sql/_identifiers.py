"""Names in SQL: how they are quoted, and which of them the log and this package reserve."""

from __future__ import annotations

from typing import Final

from eventstore.storage import reserved_names
from eventstore.storage.catalog import TABLES as LOG_TABLES

CAPTURE: Final = "sql_capture"
"""The capture table. The names of its triggers, functions and indexes begin with it too."""

LEDGER: Final = "schema_migrations"
"""The table of the migrations that were applied."""

RESERVED: Final = frozenset([*reserved_names.RESERVED, *LOG_TABLES, LEDGER, CAPTURE])
"""Names of the log, its projections and this package, which no migration may use."""


def quote_name(name: str) -> str:
    """Return an identifier as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(value: str) -> str:
    """Return a text literal as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"


def is_reserved(name: str) -> bool:
    """Return True for names of the log, its projections and this package, in any case."""
    return name.lower() in RESERVED or name.lower().startswith(CAPTURE)


def excerpt(statement: str) -> str:
    """Return the first 80 characters of a statement on one line, quoted, for messages."""
    return repr(" ".join(statement.split())[:80])
