"""What the log's schema is made of, as the database tells it: for finding what was changed.

SQLite keeps the text of each object, so a fresh log in memory is the pattern. A PostgreSQL
log cannot be made on the side by whoever may only read, so its pattern is kept in a file,
which a test holds to what the migrations make.
"""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from eventstore.storage import migrations

if TYPE_CHECKING:
    from collections.abc import Iterable

TABLES: Final = ("consumer", "event", "head", "kept", "migration", "stream")
"""The log's own tables; whatever else is in the database belongs to views and to others."""

PATTERN: Final = "postgresql.json"

_CONSTRAINTS = """
SELECT 'constraint ' || c.conname, c.conrelid::regclass::text || ' '
    || pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(?)
    AND c.contype IN ('c', 'p', 'u', 'f', 'x')
"""
_COLUMNS = """
SELECT 'column ' || t.relname || '.' || a.attname,
    format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
    || coalesce((SELECT collname FROM pg_collation WHERE oid = a.attcollation), '') || ' '
    || coalesce((SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
                 WHERE d.adrelid = t.oid AND d.adnum = a.attnum), '')
FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(?)
    AND t.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
_INDEXES = """
SELECT 'index ' || indexname, replace(indexdef, quote_ident(current_schema()) || '.', '')
FROM pg_indexes WHERE schemaname = current_schema() AND tablename = ANY(?)
"""
_TRIGGERS = """
SELECT 'trigger ' || g.tgname || ' on ' || t.relname,
    replace(pg_get_triggerdef(g.oid), quote_ident(current_schema()) || '.', '')
    || ' ' || g.tgenabled::text
FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(?)
    AND NOT g.tgisinternal
"""
# Those that the log's triggers call, wherever they are: a trigger may have been pointed at
# a function of the same name in another schema.
_FUNCTIONS = """
SELECT DISTINCT 'function ' || p.proname, p.prosrc || ' ' || (p.pronamespace = t.relnamespace)
FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
WHERE t.relnamespace = current_schema()::regnamespace AND t.relname = ANY(?)
    AND NOT g.tgisinternal
"""
_RULES = """
SELECT 'rule ' || rulename || ' on ' || tablename, definition
FROM pg_rules WHERE schemaname = current_schema() AND tablename = ANY(?)
"""
POSTGRES_QUERIES: Final = (_COLUMNS, _CONSTRAINTS, _INDEXES, _TRIGGERS, _FUNCTIONS, _RULES)
"""Each gives names and texts of one kind of object, for a list of tables."""


def as_catalog(rows: Iterable[tuple[Any, ...]]) -> dict[str, str]:
    """Return names and texts with white space normalised."""
    return {str(name): " ".join(str(text).split()) for name, text in rows}


def sqlite_catalog(connection: sqlite3.Connection) -> dict[str, str]:
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
        return sqlite_catalog(connection)
    finally:
        connection.close()


@cache
def kept_pattern() -> dict[str, str]:
    """Return the catalog that all PostgreSQL migrations make, as it was written down."""
    text = files(migrations.__name__).joinpath(PATTERN).read_text("utf-8")
    pattern: dict[str, str] = json.loads(text)
    return pattern


def differences(actual: dict[str, str], expected: dict[str, str]) -> list[tuple[str, str]]:
    """Return (where, what) for each object that is not as the migrations make it."""
    found = [(name, "is missing") for name in expected if name not in actual]
    found += [
        (name, "is not what the migrations make" if name in expected else "is not the log's own")
        for name, text in actual.items()
        if expected.get(name) != text
    ]
    return [(f"schema, {name}", what) for name, what in sorted(found)]
