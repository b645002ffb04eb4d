"""Applying a migration on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg

from projections.sql._identifiers import CAPTURE, LEDGER, RESERVED, excerpt
from projections.sql._migrations import Migrator
from projections.sql.postgres._lexer import first_words, split_script
from projections.sql.postgres._row_counts import count_changes, find_uncaptured_writes
from projections.sql.postgres._schema import PostgresTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore import NewEvent

_ROWS: Final = {"select", "insert", "update", "delete", "merge", "with", "values", "lock"}
_REFUSED: Final = {
    "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare",
    "set", "reset", "copy", "do", "call", "truncate", "vacuum", "listen", "discard",
}  # fmt: skip
_SQLITE_ONLY: Final = {"pragma", "replace", "attach", "detach"}


class PostgresMigrator(Migrator[PostgresTable]):
    """See :class:`Migrator`. The first word of a statement tells what it does."""

    dialect = "postgres"
    errors = psycopg.Error

    def apply(self) -> list[NewEvent]:
        """Run the migration and add its row to the ledger; return the events to append."""
        self._log_tables = _describe_log_tables(self._raw)
        self._counts = count_changes(self._raw)
        return super().apply()

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _run(self, statement: str) -> None:
        word = (first_words(statement) or [""])[0]
        if word in _REFUSED:
            reason = "a migration is one transaction of definitions and changes of rows"
            raise self._error(f"{reason}: leave {word.upper()} out ({excerpt(statement)})")
        if word in _SQLITE_ONLY:
            raise self._error(f"{word.upper()} is SQLite's own ({excerpt(statement)})")
        if word in _ROWS:
            self._change_rows()
        else:
            self._define(statement)
        self._raw.execute(statement.encode())

    def _pause(self) -> None:
        was_capturing = self._capturing
        super()._pause()
        if was_capturing:
            # Reading what was captured has set them to IMMEDIATE.
            self._raw.execute("SET CONSTRAINTS ALL DEFERRED")

    def _check_definitions(self) -> None:
        if _describe_log_tables(self._raw) != self._log_tables:
            raise self._error("it changes the log's own tables")

    def _check_rows(self) -> None:
        written = find_uncaptured_writes(self._raw, self._counts, self._tables)
        if others := [name for name in written if name in self._foreign | RESERVED]:
            raise self._error(f"it changes rows of {others[0]!r}, which are not recorded")


def _describe_log_tables(raw: Any) -> list[tuple[Any, ...]]:
    """Return columns and numbers of triggers of the log's own tables, for comparison."""
    rows: list[tuple[Any, ...]] = raw.execute(
        "SELECT c.relname, a.attnum, a.attname, a.atttypid, a.attisdropped, "
        "(SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) "
        "FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) "
        "ORDER BY 1, 2",
        ([*RESERVED - {LEDGER, CAPTURE}],),
    ).fetchall()
    return rows
