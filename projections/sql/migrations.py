"""Migrations of the callers' tables: files of SQL, each applied once, each an event.

A migration's definitions (``CREATE``, ``ALTER``, ``DROP`` …) are recorded as statements, and what
it does to rows is captured as any transaction's changes are, in between: a replay defines again,
but computes no row again, so that ``datetime('now')`` gives what it gave.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.errors import ConfigError
from projections.sql.events import SchemaChange, rows_events, schema_event
from projections.sql.model import LEDGER, MigrationError
from projections.sql.sqlite import capture
from projections.sql.sqlite.guard import Guard, Mode
from projections.sql.sqlite.schema import RESERVED, find_fault, is_own, list_tables, read_table
from projections.sql.sqlite.scripts import split_script

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventstore import NewEvent
    from projections.sql.sqlite.schema import SqliteTable

CREATE_LEDGER: Final = (
    f"CREATE TABLE IF NOT EXISTS {LEDGER} "
    "(name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
)
INSERT_LEDGER: Final = f"INSERT INTO {LEDGER} (name, checksum, applied_at) VALUES (?, ?, ?)"


class Migration(NamedTuple):
    """A file of SQL; its name is the file's without ``.sql``."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex."""
        return sha256(self.sql.encode()).hexdigest()


def find_migrations(directory: Path, dialect: str) -> list[Migration]:
    """Return the migrations of a directory in the order of their names.

    On PostgreSQL a file of the same name in the sibling ``<directory>_pg`` replaces one. Raises
    ConfigError where there is no such directory, MigrationError for a file that is no UTF-8.
    """
    if not directory.is_dir():
        raise ConfigError(f"migrations {directory}: there is no such directory")
    sibling = directory.with_name(directory.name + "_pg")
    found = []
    for file in sorted(directory.glob("*.sql"), key=lambda file: file.name):
        chosen = sibling / file.name
        if dialect != "postgres" or not chosen.is_file():
            chosen = file
        try:
            # In bytes, because reading as text would hide what kind of line ends there are.
            found.append(Migration(file.stem, chosen.read_bytes().decode()))
        except UnicodeDecodeError as error:
            raise MigrationError(file.stem, f"{chosen} is no UTF-8: {error}") from error
    return found


def is_applied(migration: Migration, ledger: dict[str, str]) -> bool:
    """Whether the ledger has it; raises MigrationError where it was another file then."""
    known = ledger.get(migration.name)
    if known is not None and known != migration.checksum:
        raise MigrationError(
            migration.name,
            "was changed after it had been applied: put it back as it was, and make the change "
            "in a new file",
        )
    return known is not None


class MigrationRecord:
    """What a migration appends: its definitions as statements, its rows as they were captured."""

    def __init__(self, migration: Migration, dialect: str, moment: str) -> None:
        self.events: list[NewEvent] = []
        self._head = (migration.name, migration.checksum, dialect, moment)
        self._defined: list[str] = []
        self._begun = False

    def define(self, statement: str) -> None:
        """Note a statement that changes tables."""
        self._defined.append(statement)

    def end_definitions(self, tables: Iterable[str], *, final: bool) -> None:
        """Append what was defined since the last time; ``tables`` is what is captured then.

        At the end there is an event even of a migration that defined nothing.
        """
        if self._defined or (final and not self._begun):
            change = SchemaChange(*self._head, self._defined, list(tables))
            self.events.append(schema_event(change))
            self._defined, self._begun = [], True


def read_ledger(raw: sqlite3.Connection) -> dict[str, str]:
    """Return the checksum of each migration that was applied, by name."""
    if LEDGER not in list_tables(raw):
        return {}
    rows = raw.execute(f"SELECT name, checksum FROM {LEDGER}").fetchall()
    return {row[0]: row[1] for row in rows}


def user_tables(raw: sqlite3.Connection) -> list[str]:
    """Return the ordinary tables that are neither the log's nor the storage's own."""
    return [
        name
        for name, kind in list_tables(raw).items()
        if kind == "table" and name.lower() not in RESERVED and not is_own(name)
    ]


class SqliteMigrator:
    """Applies one migration in an open transaction that has the file for itself."""

    def __init__(self, raw: sqlite3.Connection, migration: Migration, moment: str) -> None:
        self._raw = raw
        self._migration = migration
        self._moment = moment
        self._record = MigrationRecord(migration, "sqlite", moment)
        self._guard = Guard()
        known = set(capture.captured(raw))
        self._foreign = frozenset(name for name in user_tables(raw) if name not in known)
        self._guard.foreign = frozenset(name.lower() for name in self._foreign)
        self._tables: dict[str, SqliteTable] = {}
        self._capturing = False

    def apply(self) -> list[NewEvent]:
        """Run it, with its row in the ledger; return what to append.

        Raises MigrationError, saying which statement, where it fails.
        """
        self._raw.set_authorizer(self._guard)
        try:
            self._pause()
            for statement in split_script(self._migration.sql):
                try:
                    self._run(statement)
                except sqlite3.Error as error:
                    raise self._error(f"{error} in {shown(statement)}") from error
            self._pause()
            self._resume(final=True)
            self._check_foreign_keys()
            row = (self._migration.name, self._migration.checksum, self._moment)
            self._raw.execute(CREATE_LEDGER)
            self._raw.execute(INSERT_LEDGER, row)
        finally:
            self._raw.set_authorizer(None)
        return self._record.events

    def _error(self, reason: str) -> MigrationError:
        return MigrationError(self._migration.name, f"{reason}; nothing of it was applied")

    def _run(self, statement: str) -> None:
        guard = self._guard
        guard.reset()
        guard.mode = Mode.MIGRATE
        try:
            # Compiles without running: what it would do decides whether rows are captured.
            self._raw.execute(f"EXPLAIN {statement}").close()
        except sqlite3.DatabaseError as error:
            if guard.transaction:
                reason = f"a migration is one transaction: leave {guard.transaction} out"
                raise self._error(f"{reason} ({shown(statement)})") from error
            if guard.refused:
                raise self._error(f"{guard.refused} ({shown(statement)})") from error
            raise
        finally:
            guard.mode = Mode.OWN
        if guard.defines:
            self._pause()
            self._record.define(statement)
        elif guard.writes and not self._capturing:
            self._resume()
        self._raw.execute(statement).close()

    def _pause(self) -> None:
        """Capture nothing, because tables change; take what was captured."""
        if self._capturing:
            tables = {name: one.table for name, one in self._tables.items()}
            self._record.events += rows_events(capture.drain(self._raw, tables))
            capture.clear(self._raw)
        capture.remove(self._raw)
        self._capturing = False

    def _resume(self, *, final: bool = False) -> None:
        """Capture the tables as they are now; what was defined since is an event."""
        found = {
            name: read_table(self._raw, name)
            for name in user_tables(self._raw)
            if name not in self._foreign
        }
        faults = {name: fault for name, one in found.items() if (fault := find_fault(one))}
        if final and faults:
            raise self._error(min(faults.values()))
        self._tables = {name: one for name, one in found.items() if name not in faults}
        capture.install(self._raw, self._tables.values())
        self._capturing = True
        self._record.end_definitions(self._tables, final=final)

    def _check_foreign_keys(self) -> None:
        row: Any = self._raw.execute("PRAGMA foreign_key_check").fetchone()
        if row is not None:
            raise self._error(f"it leaves rows of {row[0]!r} that refer to no row of {row[2]!r}")


def shown(statement: str) -> str:
    """Return the beginning of a statement, for messages."""
    return repr(" ".join(statement.split())[:80])
