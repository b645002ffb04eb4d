"""Counts of changed rows, by which writes to tables that are not captured are found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from projections.sql._identifiers import CAPTURE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_CATALOG: Final = {
    1249: "pg_attribute", 1261: "pg_auth_members", 1260: "pg_authid", 2605: "pg_cast",
    1259: "pg_class", 2606: "pg_constraint", 2964: "pg_db_role_setting", 826: "pg_default_acl",
    3466: "pg_event_trigger", 2610: "pg_index", 2611: "pg_inherits",
    2995: "pg_largeobject_metadata", 2615: "pg_namespace", 2617: "pg_operator", 3256: "pg_policy",
    1255: "pg_proc", 2618: "pg_rewrite", 2224: "pg_sequence", 2620: "pg_trigger", 1247: "pg_type",
}  # fmt: skip
"""The server's own tables whose rows change with the schema, its owners or its rights.

By their numbers, which are the same on every server.
"""

_CHANGES: Final = (
    "pg_catalog.pg_stat_get_xact_tuples_inserted({0}) "
    "+ pg_catalog.pg_stat_get_xact_tuples_updated({0}) "
    "+ pg_catalog.pg_stat_get_xact_tuples_deleted({0})"
)

# What the view pg_stat_xact_all_tables shows of those that this transaction may have written: it
# keeps a lock on each of them. The view itself asks for every table of the database. Tables have
# numbers from FirstNormalObjectId on. It is planned each time: so it names no table.
_COUNT_CATALOG: Final = f"""
SELECT one::bigint, {_CHANGES.format("one")}
FROM pg_catalog.unnest('{{{",".join(map(str, _CATALOG))}}}'::pg_catalog.oid[]) AS one
WHERE {_CHANGES.format("one")} > 0
"""
_COUNT_CHANGES: Final = f"""{_COUNT_CATALOG}
UNION ALL SELECT relation, {_CHANGES.format("relation")} FROM pg_catalog.pg_lock_status()
WHERE pid = pg_catalog.pg_backend_pid() AND relation >= '16384'::pg_catalog.oid
    AND mode <> ALL ('{{AccessShareLock,RowShareLock}}') AND {_CHANGES.format("relation")} > 0
"""
_COUNTED: Final = "ARRAY(SELECT ARRAY[one, changed] FROM ({}) counted(one, changed))"

COUNTED: Final = _COUNTED.format(_COUNT_CHANGES)
"""(number of a table, its changed rows) of each as one value, for :func:`read_counts`."""

COUNTED_AT_BEGIN: Final = _COUNTED.format(_COUNT_CATALOG)
"""The same before the first statement of a transaction, when it has locked no table."""

_NAMES: Final = """
SELECT c.oid, CASE WHEN n.nspname = current_schema() THEN c.relname
    ELSE pg_catalog.concat(n.nspname, '.', c.relname) END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s) AND c.relkind IN ('r', 'm') AND c.oid >= 16384
    AND n.nspname OPERATOR(pg_catalog.!~~) 'pg\\_%%'
"""

Counts: TypeAlias = "Mapping[int, int]"
"""Changed rows by the number of their table."""


def count_changes(raw: Any) -> Counts:
    """Return how many rows this session has changed in each table that its transaction wrote.

    The counts only grow within a transaction; before it, the server may have reset them. Those of
    earlier transactions may be among them.
    """
    return read_counts(raw.execute(f"SELECT {COUNTED}").fetchone()[0])


def read_counts(value: Sequence[Sequence[int]]) -> Counts:
    """Return the counts of what :data:`COUNTED` gives."""
    return {table: changed for table, changed in value}  # noqa: C416 - typed


def only_catalog(counts: Counts) -> Counts:
    """Return the counts of the server's own tables, which say what the schema is."""
    return {table: count for table, count in counts.items() if table in _CATALOG}


def find_uncaptured_writes(
    raw: Any, now: Counts, before: Counts, captured: Iterable[str], known: Collection[int] = ()
) -> list[str]:
    """Return the tables whose counts have grown since ``before`` although they are not captured.

    ``known`` are numbers of captured tables, whose names need not be asked for.
    """
    grown = [t for t, count in now.items() if count > before.get(t, 0) and t not in known]
    if not grown:
        return []
    names = [_CATALOG[table] for table in grown if table in _CATALOG]
    names += [name for _, name in raw.execute(_NAMES, (grown,)).fetchall()]
    return sorted({*names} - {*captured, CAPTURE})


def is_catalog(name: str) -> bool:
    """Return True for one of the server's own tables, as they are found here."""
    return name in _CATALOG.values()
