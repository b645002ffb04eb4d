"""Names of tables that only the log and this package may use, in either database.

The one list of them: projections, and programs with SQL of their own, ask here.
"""

from __future__ import annotations

from typing import Final

from eventstore.storage.catalog import TABLES

CHECKPOINTS: Final = (
    "projection",
    "projection_building",
    "projection_failure",
    "projection_redacted",
    "projection_set_aside",
    "projection_tables",
)
"""Tables that projections keep their checkpoints in."""

FUNCTIONS: Final = ("event_appended", "event_kept", "kept_below", "log_refuses")
"""Functions of the log's triggers on PostgreSQL; SQLite has triggers called so."""

_LATE_KEYED: Final = ("log_incarnation", "named_lock", "schema_migrations", "worker_report")

LATE_TABLES: Final = (*_LATE_KEYED, "projection_elsewhere", "projection_snapshot", "touched")
"""Tables that are made when they are first needed."""

_INDEXED: Final = (*TABLES, *CHECKPOINTS, *_LATE_KEYED)

INDEXES: Final = (
    *(f"{table}_pkey" for table in _INDEXED),
    "event_id_key",
    "event_stream_version",
    "stream_name_key",
)
"""Indexes of these tables, as PostgreSQL names them."""

RESERVED: Final = frozenset([*_INDEXED, *LATE_TABLES, *FUNCTIONS, *INDEXES])
"""Tables of the log, locks, checkpoints, migrations, snapshots and access times; in lower case."""

PREFIXES: Final = ("pg_", "projection_building_", "projection_dropped_", "sql_capture", "sqlite_")
"""What begins with one of these is a database's own, captures changes by SQL, or holds a version of
a projection that is built, or that was replaced."""


def is_reserved(name: str) -> bool:
    """Return whether no object of a program may have this name: in any case, quoted or not.

    ``name`` is that of a table, index, function … alone, or with its schema before a dot.
    """
    table = name.rpartition(".")[2].strip().strip('"`[]').strip().lower()
    return table in RESERVED or table.startswith(PREFIXES)
