"""Migrations of the users' tables: SQL files, each applied once and recorded in the log.

The definitions of a migration (``CREATE``, ``ALTER``, ``DROP`` …) are recorded as statements, its
row changes are captured as those of any transaction, in the order in which they happen. A replay
executes the definitions again but puts the rows as they were recorded, so that
``datetime('now')`` keeps its first value.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NamedTuple

from eventstore.errors import ConfigError
from projections.sql._identifiers import OWN_LEDGER, excerpt
from projections.sql.events import SchemaChange, schema_event
from projections.sql.model import MigrationError, TableT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from eventstore import NewEvent
    from projections.sql._capture import Capture
    from projections.sql._schema import Schema


class MigrationFile(NamedTuple):
    """A file of SQL; ``name`` is the file's name without ``.sql``."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hex."""
        return sha256(self.sql.encode()).hexdigest()


def find_migrations(directory: Path, dialect: str) -> list[MigrationFile]:
    """Return the migrations of a directory in the order of their names.

    On PostgreSQL a file of the same name in the sibling ``<directory>_pg`` replaces one. Raises
    ConfigError where there is no such directory, MigrationError for a file that is not UTF-8.
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
            # As bytes: reading as text would convert line ends, and the checksum covers them.
            found.append(MigrationFile(file.stem, chosen.read_bytes().decode()))
        except UnicodeDecodeError as error:
            raise MigrationError(file.stem, f"{chosen} is no UTF-8: {error}") from error
    return found


def is_applied(migration: MigrationFile, ledger: dict[str, str]) -> bool:
    """Return True if the ledger has the migration; raise MigrationError if its file has changed."""
    known = ledger.get(migration.name)
    if known is not None and known != migration.checksum:
        raise MigrationError(
            migration.name,
            "was changed after it had been applied: put it back as it was, and make the change "
            "in a new file",
        )
    return known is not None


_DECLARED: Final = re.compile(r"^[ \t]*--[ \t]*uncaptured:(.*)$", re.MULTILINE)


def read_declared(sql: str) -> frozenset[str]:
    """Return the tables that a migration declares uncaptured: ``-- uncaptured: one, two``."""
    names = (name for line in _DECLARED.findall(sql) for name in line.split(","))
    return frozenset(name.strip().strip('"') for name in names) - {""}


class MigrationEvents:
    """Collects the events of a migration: its definitions and its row changes, in order."""

    def __init__(self, migration: MigrationFile, dialect: str, moment: str) -> None:
        self.events: list[NewEvent] = []
        self.moment = moment
        """When the migration is applied, as ISO 8601."""
        self._head = (migration.name, migration.checksum, dialect, moment)
        self._definitions: list[str] = []
        self._has_schema_event = False

    def add_definition(self, statement: str) -> None:
        """Note a statement that changes the schema."""
        self._definitions.append(statement)

    def end_definitions(
        self, tables: Iterable[str], uncaptured: Iterable[str], *, final: bool
    ) -> None:
        """Append an event of the definitions since the last call; ``tables`` are then captured.

        ``uncaptured`` are declared not to be. The final call appends one even for a migration
        without definitions.
        """
        if self._definitions or (final and not self._has_schema_event):
            names = list(tables), sorted(uncaptured)
            change = SchemaChange(*self._head, self._definitions, *names)
            self.events.append(schema_event(change))
            self._definitions, self._has_schema_event = [], True


class Migrator(ABC, Generic[TableT]):
    """Applies one migration in an open transaction in which no other may change the schema."""

    dialect: ClassVar[str]
    errors: ClassVar[type[Exception]]
    """The base class of the driver's errors."""

    def __init__(
        self,
        raw: Any,
        schema: Schema[TableT],
        capture: Capture[TableT],
        migration: MigrationFile,
        moment: str,
        uncaptured: Collection[str] = (),
    ) -> None:
        self._raw = raw
        self._schema = schema
        self._capture = capture
        self._migration = migration
        self._events = MigrationEvents(migration, self.dialect, moment)
        captured = capture.list_tables()
        schema.set_own(schema.list_own_reserved(captured))
        self._declared = read_declared(migration.sql)
        self._allowed = self._declared | set(uncaptured)
        self._uncaptured = schema.read_uncaptured()
        # Tables that other programs made in the same database: migrations leave them alone.
        known = self._uncaptured.union(captured)
        self._foreign = frozenset(name for name in schema.list_tables() if name not in known)
        self._tables: dict[str, TableT] = {}
        self._capturing = False

    def apply(self) -> list[NewEvent]:
        """Run the migration and add its row to the ledger; return the events to append.

        Raises MigrationError, with the statement that failed.
        """
        self._pause()
        for statement in self._statements():
            try:
                self._run(statement)
            except self.errors as error:
                reason = " ".join(str(error).split())
                raise self._error(f"{reason} in {excerpt(statement)}") from error
        self._pause()
        self._check_definitions()
        self._resume(final=True)
        self._check_rows()
        self._schema.write_ledger(
            self._migration.name, self._migration.checksum, self._events.moment
        )
        return self._events.events

    def _statements(self) -> list[str]:
        """Return the file's statements, without a BEGIN and a COMMIT around all of them."""
        statements = list(self._split(self._migration.sql))
        words = [self._transaction_word(statement) for statement in statements]
        inner = [number for number, word in enumerate(words) if word != "pragma"]
        if [words[number] for number in inner[:1] + inner[1:][-1:]] == ["begin", "commit"]:
            del statements[inner[-1]], statements[inner[0]]
        return statements

    @abstractmethod
    def _split(self, script: str) -> Iterator[str]:
        """Yield the statements of a script."""

    @abstractmethod
    def _transaction_word(self, statement: str) -> str:
        """Return ``begin`` or ``commit`` for such a statement, ``pragma`` for a PRAGMA."""

    def _passes_over(self, statement: str) -> bool:
        """Make room for a table that is called as the ledger; return True where that serves as it.

        A program may make a ledger of its own in its first migration. Where it reads nothing that
        this one has not, it gets this one.
        """
        self._raw.execute(f"SAVEPOINT {OWN_LEDGER}")
        before = self._schema.own
        self._schema.move_ledger()
        self._judge(statement)
        self._execute(statement)
        keeps = self._schema.keeps_ledger()
        self._raw.execute(f"ROLLBACK TO {OWN_LEDGER}")
        self._raw.execute(f"RELEASE {OWN_LEDGER}")
        self._schema.own = before
        if keeps:
            self._schema.make_ledger()
        else:
            self._schema.move_ledger()
        return keeps

    @abstractmethod
    def _judge(self, statement: str) -> object:
        """Raise MigrationError for a statement that no migration may have."""

    @abstractmethod
    def _execute(self, statement: str) -> None:
        """Execute a statement that was judged."""

    @abstractmethod
    def _run(self, statement: str) -> None:
        """Run one statement: :meth:`_define` for a definition, :meth:`_change_rows` for another."""

    def _check_definitions(self) -> None:
        """Raise MigrationError if the definitions changed what is not the users'."""

    @abstractmethod
    def _check_rows(self) -> None:
        """Raise MigrationError if the row changes broke a rule or were not captured."""

    def _error(self, reason: str) -> MigrationError:
        return MigrationError(self._migration.name, f"{reason}; nothing of it was applied")

    def _define(self, statement: str) -> None:
        """Prepare for a statement that changes the schema: record it, and stop capturing."""
        self._pause()
        self._events.add_definition(statement)

    def _change_rows(self) -> None:
        """Prepare for a statement that changes rows: capture them."""
        if not self._capturing:
            self._resume()

    def _pause(self) -> None:
        """Take what was captured, and drop the triggers before the schema changes."""
        if self._capturing:
            self._events.events += self._capture.take_events(self._tables)
        self._capture.remove()
        self._capturing = False

    def _resume(self, *, final: bool = False) -> None:
        """Capture the tables as they are now, and record the definitions since the last time."""
        found = {
            name: self._schema.read_table(name)
            for name in self._schema.list_tables()
            if name not in self._foreign
        }
        faults = {
            name: fault
            for name, description in found.items()
            if (fault := self._schema.find_fault(description))
        }
        if final:
            self._declare(found, faults)
        passed = {*faults, *self._uncaptured}
        self._tables = {name: one for name, one in found.items() if name not in passed}
        self._capture.install(self._tables.values())
        self._capturing = True
        self._events.end_definitions(self._tables, self._uncaptured, final=final)

    def _declare(self, found: Collection[str], faults: Mapping[str, str]) -> None:
        """Settle which tables are not captured; raise MigrationError for one that has to be."""
        for name in sorted(self._declared - self._uncaptured):
            if name not in found:
                raise self._error(f"it declares {name!r} uncaptured, and leaves no such table")
            if name not in faults:
                reason = "its rows can be recorded: leave the declaration out"
                raise self._error(f"it declares {name!r} uncaptured, and {reason}")
        known = self._uncaptured.intersection(found)
        self._uncaptured = known | (self._allowed & faults.keys())
        if missing := faults.keys() - self._uncaptured:
            way = (
                f"declare it by a comment '-- uncaptured: {min(missing)}', then its rows are in no"
            )
            raise self._error(f"{faults[min(missing)]}, or {way} event")
        self._schema.write_uncaptured(self._uncaptured)
