"""Applying a migration on PostgreSQL; see :mod:`projections.sql.migrations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg

from projections.sql.events import rows_events
from projections.sql.migrations import CREATE_LEDGER, MigrationRecord, shown
from projections.sql.model import LEDGER, OWN_PREFIX, MigrationError
from projections.sql.postgres import capture
from projections.sql.postgres.lexer import split, words
from projections.sql.sqlite.schema import RESERVED

if TYPE_CHECKING:
    from eventstore import NewEvent
    from projections.sql.migrations import Migration
    from projections.sql.postgres.capture import PgTable

INSERT_LEDGER: Final = f"INSERT INTO {LEDGER} (name, checksum, applied_at) VALUES (%s, %s, %s)"

_ROWS: Final = {"select", "insert", "update", "delete", "merge", "with", "values", "lock"}
_REFUSED: Final = {
    "begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release", "prepare",
    "set", "reset", "copy", "do", "call", "truncate", "vacuum", "listen", "discard",
}  # fmt: skip
_SQLITE: Final = {"pragma", "replace", "attach", "detach"}


def read_ledger(raw: Any) -> dict[str, str]:
    """Return the checksum of each migration that was applied, by name."""
    found = raw.execute(
        "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = %s", (LEDGER,)
    ).fetchone()
    if found is None:
        return {}
    return dict(raw.execute(f"SELECT name, checksum FROM {LEDGER}").fetchall())


class PostgresMigrator:
    """Applies one migration in an open transaction that holds the lock on the schema."""

    def __init__(self, raw: Any, migration: Migration, moment: str) -> None:
        self._raw = raw
        self._migration = migration
        self._moment = moment
        self._record = MigrationRecord(migration, "postgres", moment)
        known = set(capture.captured(raw))
        self._foreign = {name for name in capture.list_tables(raw) if name not in known}
        self._tables: dict[str, PgTable] = {}
        self._capturing = False

    def apply(self) -> list[NewEvent]:
        """Run it, with its row in the ledger; return what to append.

        Raises MigrationError, saying which statement, where it fails.
        """
        self._pause()
        before, counted = _others(self._raw), capture.count_changes(self._raw)
        for statement in split(self._migration.sql):
            try:
                self._run(statement)
            except psycopg.Error as error:
                reason = " ".join(str(error).split())
                raise self._error(f"{reason} in {shown(statement)}") from error
        self._pause()
        if _others(self._raw) != before:
            raise self._error("it changes the log's own tables, or those of its views")
        self._resume(final=True)
        stray = capture.find_stray(self._raw, counted, self._tables)
        if others := [name for name in stray if name in self._foreign | RESERVED]:
            raise self._error(f"it changes rows of {others[0]!r}, which are not recorded")
        self._raw.execute(CREATE_LEDGER)
        row = (self._migration.name, self._migration.checksum, self._moment)
        self._raw.execute(INSERT_LEDGER, row)
        return self._record.events

    def _error(self, reason: str) -> MigrationError:
        return MigrationError(self._migration.name, f"{reason}; nothing of it was applied")

    def _run(self, statement: str) -> None:
        word = (words(statement) or [""])[0]
        if word in _REFUSED:
            reason = "a migration is one transaction of definitions and changes of rows"
            raise self._error(f"{reason}: leave {word.upper()} out ({shown(statement)})")
        if word in _SQLITE:
            raise self._error(f"{word.upper()} is SQLite's own ({shown(statement)})")
        if word not in _ROWS:
            self._pause()
            self._record.define(statement)
        elif not self._capturing:
            self._resume()
        self._raw.execute(statement.encode())

    def _pause(self) -> None:
        """Capture nothing, because tables change; take what was captured."""
        if self._capturing:
            self._record.events += rows_events(capture.drain(self._raw, self._tables))
            capture.clear(self._raw)
            self._raw.execute("SET CONSTRAINTS ALL DEFERRED")
        capture.remove(self._raw)
        self._capturing = False

    def _resume(self, *, final: bool = False) -> None:
        """Capture the tables as they are now; what was defined since is an event."""
        names = [name for name in capture.list_tables(self._raw) if name not in self._foreign]
        found = {name: capture.read_table(self._raw, name) for name in names}
        keyless = [name for name, one in found.items() if not one.table.key]
        if final and keyless:
            raise self._error(
                f"table {keyless[0]!r} has no primary key, so that its rows cannot be told "
                "apart: add one"
            )
        self._tables = {name: one for name, one in found.items() if one.table.key}
        capture.install(self._raw, self._tables.values())
        self._capturing = True
        self._record.end_definitions(self._tables, final=final)


def _others(raw: Any) -> list[tuple[Any, ...]]:
    """Return what tells the log's own tables from changed ones."""
    rows: list[tuple[Any, ...]] = raw.execute(
        "SELECT c.relname, a.attnum, a.attname, a.atttypid, a.attisdropped, "
        "(SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) "
        "FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) "
        "ORDER BY 1, 2",
        ([*RESERVED - {LEDGER, OWN_PREFIX}],),
    ).fetchall()
    return rows
