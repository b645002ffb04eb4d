"""Applying a migration on PostgreSQL."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

import psycopg

from projections.sql._identifiers import CAPTURE, LEDGER, LEDGER_NAMES, RESERVED, excerpt
from projections.sql._migrations import Migrator
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._cursor import execute_one
from projections.sql.postgres._guard import NONE, Names, judge
from projections.sql.postgres._lexer import first_words, split_script
from projections.sql.postgres._row_counts import count_changes, find_uncaptured_writes
from projections.sql.postgres._schema import PostgresTable
from projections.sql.postgres.definitions import judge_definition, makes_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore import NewEvent
    from projections.sql.postgres.definitions import Step

_SQLITE_ONLY: Final = {"pragma", "replace", "attach", "detach"}


class PostgresMigrator(Migrator[PostgresTable]):
    """See :class:`Migrator`. PostgreSQL's own grammar tells what a statement does."""

    dialect = "postgres"
    errors = psycopg.Error

    def apply(self) -> list[NewEvent]:
        """Run the migration and add its row to the ledger; return the events to append."""
        self._log_tables = describe_log_tables(self._raw, self._schema.own)
        self._counts = count_changes(self._raw)
        return super().apply()

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _transaction_word(self, statement: str) -> str:
        words = first_words(statement)[:1]
        if words not in (("begin",), ("start",), ("commit",), ("end",)):
            return ""
        try:
            verdict = judge(statement)
        except (SqlRefusedError, sqlite3.OperationalError):
            return ""  # Judged again, with its reason, when it is run.
        return verdict.kind

    def _run(self, statement: str) -> None:
        word = (first_words(statement) or ("",))[0]
        if word in _SQLITE_ONLY:
            raise self._error(f"{word.upper()} is SQLite's own ({excerpt(statement)})")
        makes_room = LEDGER not in self._schema.own and makes_ledger(statement)
        if makes_room and self._passes_over(statement):
            return
        if self._judge(statement) == "rows":
            self._change_rows()
        else:
            self._define(statement)
        self._execute(statement)

    def _judge(self, statement: str) -> Step:
        try:
            return judge_definition(statement, self._foreign, self._schema.own)
        except SqlRefusedError as error:
            raise self._error(f"{error.reason} ({excerpt(statement)})") from error

    def _execute(self, statement: str) -> None:
        execute_one(self._raw, statement)

    def _pause(self) -> None:
        was_capturing = self._capturing
        super()._pause()
        if was_capturing:
            # Reading what was captured has set them to IMMEDIATE.
            self._raw.execute("SET CONSTRAINTS ALL DEFERRED")

    def _check_definitions(self) -> None:
        if describe_log_tables(self._raw, self._schema.own) != self._log_tables:
            raise self._error("it changes the log's own tables")

    def _check_rows(self) -> None:
        written = find_uncaptured_writes(
            self._raw, count_changes(self._raw), self._counts, self._tables
        )
        foreign = self._foreign | (RESERVED - self._schema.own)
        if others := [name for name in written if name in foreign]:
            raise self._error(f"it changes rows of {others[0]!r}, which are not recorded")


def describe_log_tables(raw: Any, own: Names = NONE) -> list[tuple[Any, ...]]:
    """Return what the log's own tables are made of, for comparison; ``own`` are the program's."""
    rows: list[tuple[Any, ...]] = raw.execute(
        _DESCRIBE, {"names": [*RESERVED - LEDGER_NAMES - {CAPTURE} - own]}
    ).fetchall()
    return rows


_DESCRIBE: Final = """
WITH own AS (
    SELECT * FROM pg_catalog.pg_class
    WHERE relnamespace = current_schema()::regnamespace::oid AND relname = ANY(%(names)s)
)
SELECT relname::text, 'relation', relkind::text, relowner::text, relacl::text,
    relrowsecurity::text || relhasrules::text || relpersistence::text FROM own
UNION ALL SELECT relname, attname, attnum::text, atttypid::text, attnotnull::text, attacl::text
FROM own JOIN pg_catalog.pg_attribute ON attrelid = own.oid WHERE attnum > 0 AND NOT attisdropped
UNION ALL SELECT relname, tgname, 'trigger', tgenabled::text, tgfoid::text, ''
FROM own JOIN pg_catalog.pg_trigger ON tgrelid = own.oid
UNION ALL SELECT relname, conname, 'constraint', pg_catalog.pg_get_constraintdef(c.oid), '', ''
FROM own JOIN pg_catalog.pg_constraint c ON own.oid IN (conrelid, confrelid)
UNION ALL SELECT relname, 'parent', inhparent::text, inhrelid::text, '', ''
FROM own JOIN pg_catalog.pg_inherits ON own.oid IN (inhparent, inhrelid)
UNION ALL SELECT proname, 'function', prosrc, proowner::text, proacl::text, proconfig::text
FROM pg_catalog.pg_proc
WHERE pronamespace = current_schema()::regnamespace::oid AND proname = ANY(%(names)s)
ORDER BY 1, 2, 3, 4
"""
