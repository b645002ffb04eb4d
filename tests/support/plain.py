"""The log's tables by the plain drivers, with nothing of the library under test."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_SQLITE_CATALOG: Final = """
SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2"""
_POSTGRES_CATALOG: Final = """
SELECT 'column', table_name, column_name, concat_ws(' ', data_type, is_nullable, collation_name,
    column_default, ordinal_position)
  FROM information_schema.columns WHERE table_schema = current_schema()
UNION ALL SELECT 'index', tablename, indexname, replace(indexdef, current_schema(), '')
  FROM pg_indexes WHERE schemaname = current_schema()
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND contype <> 'n'
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname,
    replace(pg_get_triggerdef(t.oid), current_schema(), '')
  FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
  WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace
UNION ALL SELECT 'function', '', proname, replace(pg_get_functiondef(oid), current_schema(), '')
  FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
UNION ALL SELECT 'options', '', relname, array_to_string(reloptions, ',')
  FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
ORDER BY 1, 2, 3"""


def plain(url: str) -> AbstractContextManager[Any]:
    """Connect to the database that a log's URL names; each statement commits by itself."""
    if url.startswith("sqlite:///"):
        return closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None))
    return closing(psycopg.connect(url, autocommit=True))


def dialect(url: str) -> str:
    """Return which of the two databases a URL means."""
    return url.partition(":")[0]


def catalog(url: str) -> list[tuple[str, ...]]:
    """Return everything that the database knows about the log's schema, as it tells it."""
    with plain(url) as connection:
        if dialect(url) == "sqlite":
            rows = connection.execute(_SQLITE_CATALOG).fetchall()
        else:
            rows = connection.execute(_POSTGRES_CATALOG).fetchall()
    return [tuple(" ".join(str(value).split()) for value in row) for row in rows]
