"""Counts of changed rows, by which writes to tables that are not captured are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from projections.sql._identifiers import CAPTURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_CATALOG: Final = (
    "pg_attribute", "pg_auth_members", "pg_authid", "pg_cast", "pg_class", "pg_constraint",
    "pg_db_role_setting", "pg_default_acl", "pg_event_trigger", "pg_index", "pg_inherits",
    "pg_largeobject_metadata", "pg_namespace", "pg_operator", "pg_policy", "pg_proc", "pg_rewrite",
    "pg_sequence", "pg_trigger", "pg_type",
)  # fmt: skip
"""The server's own tables whose rows change with the schema, its owners or its rights."""

_CHANGES: Final = (
    "pg_catalog.pg_stat_get_xact_tuples_inserted(oid) "
    "+ pg_catalog.pg_stat_get_xact_tuples_updated(oid) "
    "+ pg_catalog.pg_stat_get_xact_tuples_deleted(oid)"
)
_COUNT_CATALOG: Final = f"""
SELECT oid::pg_catalog.regclass::text, {_CHANGES}, NULL
FROM pg_catalog.pg_class
WHERE oid = ANY ('{{{",".join(_CATALOG)}}}'::pg_catalog.regclass[]::oid[]) AND {_CHANGES} > 0
"""

# What the view pg_stat_xact_user_tables shows of those that this transaction may have written: it
# keeps a lock on each of them. The view itself asks for every table of the database. The server's
# own tables have smaller numbers than FirstNormalObjectId.
_COUNT_ROWS: Final = f"""
SELECT pg_catalog.concat(n.nspname, '.', c.relname), c.changes,
    CASE WHEN n.nspname = current_schema() THEN c.relname END
FROM (
    SELECT relname, relnamespace, {_CHANGES} AS changes
    FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm') AND oid = ANY (ARRAY(
        SELECT relation FROM pg_catalog.pg_locks
        WHERE pid = pg_catalog.pg_backend_pid() AND relation >= 16384 AND granted
            AND mode OPERATOR(pg_catalog.<>) ALL ('{{AccessShareLock,RowShareLock}}')
    )) OFFSET 0
) c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.changes > 0 AND n.nspname OPERATOR(pg_catalog.!~~) 'pg\\_%'
"""
_COUNT_CHANGES: Final = f"{_COUNT_ROWS} UNION ALL {_COUNT_CATALOG}"


def count_changes(raw: Any) -> dict[str, int]:
    """Return how many rows this session has changed in each table that its transaction wrote.

    The counts only grow within a transaction; before it, the server may have reset them. Those of
    earlier transactions may be among them.
    """
    rows = raw.execute(_COUNT_CHANGES).fetchall()
    return {here or name: count for name, count, here in rows}


def count_catalog_changes(raw: Any) -> dict[str, int]:
    """Return the same of the server's own tables, which say what the schema is."""
    return {name: count for name, count, _ in raw.execute(_COUNT_CATALOG).fetchall()}


def find_uncaptured_writes(
    raw: Any, before: Mapping[str, int], captured: Iterable[str]
) -> list[str]:
    """Return the tables whose counts have grown since ``before`` although they are not captured."""
    now = count_changes(raw)
    changed = {name for name, count in now.items() if count > before.get(name, 0)}
    return sorted(changed - {*captured, CAPTURE})


def is_catalog(name: str) -> bool:
    """Return True for one of the server's own tables, as :func:`count_changes` names them."""
    return name in _CATALOG
