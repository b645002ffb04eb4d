"""Applying a migration on SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from projections.sql._identifiers import excerpt
from projections.sql._migrations import Migrator
from projections.sql.sqlite._authorizer import Mode, StatementAuthorizer
from projections.sql.sqlite._schema import SqliteTable
from projections.sql.sqlite._statements import split_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore import NewEvent


class SqliteMigrator(Migrator[SqliteTable]):
    """See :class:`Migrator`. The authorizer tells definitions from changes of rows."""

    dialect = "sqlite"
    errors = sqlite3.Error

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._authorizer = StatementAuthorizer()
        self._authorizer.foreign = frozenset(name.lower() for name in self._foreign)

    def apply(self) -> list[NewEvent]:
        """Run the migration and add its row to the ledger; return the events to append."""
        self._raw.set_authorizer(self._authorizer)
        try:
            return super().apply()
        finally:
            self._raw.set_authorizer(None)

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _run(self, statement: str) -> None:
        self._compile(statement)
        if self._authorizer.defines:
            self._define(statement)
        elif self._authorizer.writes:
            self._change_rows()
        self._raw.execute(statement).close()

    def _compile(self, statement: str) -> None:
        """Compile a statement without running it, for the authorizer's notes.

        Raises MigrationError for a statement that no migration may have.
        """
        authorizer = self._authorizer
        authorizer.reset()
        authorizer.mode = Mode.MIGRATE
        try:
            self._raw.execute(f"EXPLAIN {statement}").close()
        except sqlite3.DatabaseError as error:
            if authorizer.transaction:
                reason = f"a migration is one transaction: leave {authorizer.transaction} out"
                raise self._error(f"{reason} ({excerpt(statement)})") from error
            if authorizer.refusal:
                raise self._error(f"{authorizer.refusal} ({excerpt(statement)})") from error
            raise
        finally:
            authorizer.mode = Mode.OWN

    def _check_rows(self) -> None:
        row = self._raw.execute("PRAGMA foreign_key_check").fetchone()
        if row is not None:
            raise self._error(f"it leaves rows of {row[0]!r} that refer to no row of {row[2]!r}")
