"""What a PostgreSQL log's tables, functions, rights and settings are, for comparison."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from eventstore.storage.catalog import TABLES

_SCHEMA = """
SELECT 'table', c.relname::text, c.relkind::text, c.relowner::text, c.relacl::text,
    c.relrowsecurity::text, c.relhasrules::text
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
UNION ALL SELECT 'column', c.relname, a.attname, a.atttypid::text, a.attnotnull::text, '', ''
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%(tables)s)
UNION ALL SELECT 'trigger', t.tgname, t.tgenabled::text, t.tgfoid::text, '', '', ''
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = current_schema()::regnamespace
UNION ALL SELECT 'function', p.proname, p.prosrc, p.proacl::text, p.proconfig::text, '', ''
FROM pg_proc p WHERE p.pronamespace = current_schema()::regnamespace
UNION ALL SELECT 'constraint', c.conname, pg_get_constraintdef(c.oid), '', '', '', ''
FROM pg_constraint c WHERE c.connamespace = current_schema()::regnamespace
UNION ALL SELECT 'schema', nspname, nspowner::text, nspacl::text, '', '', ''
FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%%'
    AND (nspname = current_schema() OR nspname NOT LIKE 'test\\_%%')
UNION ALL SELECT 'role setting', setrole::text, setconfig::text, '', '', '', ''
FROM pg_db_role_setting
ORDER BY 1, 2, 3, 4
"""


_HELD = """
SELECT 'advisory lock', objid::text FROM pg_locks
WHERE locktype = 'advisory' AND pid = pg_backend_pid()
UNION ALL SELECT 'prepared', name FROM pg_prepared_statements WHERE from_sql
UNION ALL SELECT 'cursor', name FROM pg_cursors WHERE is_holdable
UNION ALL SELECT 'channel', pg_listening_channels()
ORDER BY 1, 2
"""


class LogDescription(NamedTuple):
    """The log's rows, the schema with its rights, and what a new session's settings are."""

    rows: dict[str, list[Any]]
    schema: list[Any]
    settings: list[Any]


def describe_log(url: str) -> LogDescription:
    """Describe the log at a URL on a connection of its own."""
    with psycopg.connect(url) as raw:
        return describe_session(raw)


def describe_session(raw: psycopg.Connection[Any]) -> LogDescription:
    """Describe the log on a connection, with that session's settings and advisory locks."""
    rows = {
        name: sorted(raw.execute(f"SELECT {name}::text FROM {name}".encode()).fetchall())
        for name in TABLES
    }
    schema = raw.execute(_SCHEMA.encode(), {"tables": list(TABLES)}).fetchall()
    settings = raw.execute("SELECT name, setting FROM pg_settings ORDER BY 1").fetchall()
    settings += raw.execute(_HELD).fetchall()
    return LogDescription(rows, schema, settings)
