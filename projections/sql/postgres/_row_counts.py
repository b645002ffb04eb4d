"""Counts of changed rows, by which writes to tables that are not captured are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from projections.sql._identifiers import CAPTURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What the view pg_stat_xact_user_tables shows of them, in half its time. The server's own tables
# have smaller numbers than FirstNormalObjectId.
_COUNT_CHANGES: Final = """
SELECT n.nspname || '.' || c.relname, c.changes,
    CASE WHEN n.nspname = current_schema() THEN c.relname END
FROM (
    SELECT relname, relnamespace, pg_stat_get_xact_tuples_inserted(oid)
        + pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid) AS changes
    FROM pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384 OFFSET 0
) c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.changes > 0 AND n.nspname NOT LIKE 'pg\\_%'
"""


def count_changes(raw: Any) -> dict[str, int]:
    """Return how many rows of each table this session has changed in its transaction.

    The counts only grow within a transaction; before it, the server may have reset them.
    """
    rows = raw.execute(_COUNT_CHANGES).fetchall()
    return {here or name: count for name, count, here in rows}


def find_uncaptured_writes(
    raw: Any, before: Mapping[str, int], captured: Iterable[str]
) -> list[str]:
    """Return the tables whose counts have grown since ``before`` although they are not captured."""
    now = count_changes(raw)
    changed = {name for name, count in now.items() if count > before.get(name, 0)}
    return sorted(changed - {*captured, CAPTURE})
