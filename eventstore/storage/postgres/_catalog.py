"""The log's schema as PostgreSQL tells it, compared with one that is kept in a file.

A role that may only read cannot make a fresh log to compare with. The file says what the
migrations make, and a test holds it to that.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Final

from eventstore.storage import migrations

PATTERN: Final = "postgresql.json"

_CONSTRAINTS = """
SELECT 'constraint ' || c.conname, c.conrelid::regclass::text || ' '
    || pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
WHERE t.relnamespace OPERATOR(pg_catalog.=)
    current_schema()::pg_catalog.regnamespace AND t.relname = ANY(?)
    AND c.contype IN ('c', 'p', 'u', 'f', 'x')
"""
_COLUMNS = """
SELECT 'column ' || t.relname || '.' || a.attname,
    format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
    || coalesce((SELECT collname FROM pg_collation WHERE oid = a.attcollation), '') || ' '
    || coalesce((SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d
                 WHERE d.adrelid = t.oid AND d.adnum = a.attnum), '')
FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
WHERE t.relnamespace OPERATOR(pg_catalog.=)
    current_schema()::pg_catalog.regnamespace AND t.relname = ANY(?)
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
WHERE t.relnamespace OPERATOR(pg_catalog.=)
    current_schema()::pg_catalog.regnamespace AND t.relname = ANY(?)
    AND NOT g.tgisinternal
"""
# Those that the log's triggers call, wherever they are: a trigger may have been pointed at
# a function of the same name in another schema.
_FUNCTIONS = """
SELECT DISTINCT 'function ' || p.proname, p.prosrc || ' ' || (p.pronamespace = t.relnamespace)
FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_proc p ON p.oid = g.tgfoid
WHERE t.relnamespace OPERATOR(pg_catalog.=)
    current_schema()::pg_catalog.regnamespace AND t.relname = ANY(?)
    AND NOT g.tgisinternal
"""
_RULES = """
SELECT 'rule ' || rulename || ' on ' || tablename, definition
FROM pg_rules WHERE schemaname = current_schema() AND tablename = ANY(?)
"""
QUERIES: Final = (_COLUMNS, _CONSTRAINTS, _INDEXES, _TRIGGERS, _FUNCTIONS, _RULES)
"""Each gives names and texts of one kind of object, for a list of tables."""


@cache
def read_pattern() -> dict[str, str]:
    """Return the catalog that all PostgreSQL migrations make, as it was written down."""
    text = files(migrations.__name__).joinpath(PATTERN).read_text("utf-8")
    pattern: dict[str, str] = json.loads(text)
    return pattern
