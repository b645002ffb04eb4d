"""Names of tables that only the log and this package may use, in either database.

The one list of them: projections, and programs with SQL of their own, ask here.
"""

from __future__ import annotations

from typing import Final

from eventstore.storage.catalog import TABLES

CHECKPOINTS: Final = (
    "projection",
    "projection_failure",
    "projection_redacted",
    "projection_set_aside",
    "projection_tables",
)
"""Tables that projections keep their checkpoints in."""

RESERVED: Final = frozenset([*TABLES, *CHECKPOINTS, "schema_migrations", "touched"])
"""Tables of the log, of checkpoints, of migrations and of access times; in lower case."""

PREFIXES: Final = ("pg_", "sql_capture", "sqlite_")
"""What begins with one of these is a database's own, or captures changes by SQL."""


def is_reserved(name: str) -> bool:
    """Return whether a table may not have this name: in any case, quoted or not, in any schema.

    ``name`` is that of a table alone, or with its schema before a dot.
    """
    table = name.rpartition(".")[2].strip().strip('"`[]').strip().lower()
    return table in RESERVED or table.startswith(PREFIXES)
