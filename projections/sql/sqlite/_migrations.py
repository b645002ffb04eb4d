"""Applying a migration on SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from projections.sql._identifiers import LEDGER, excerpt
from projections.sql._migrations import Migrator
from projections.sql.model import MigrationError, SqlRefusedError
from projections.sql.sqlite._authorizer import StatementAuthorizer
from projections.sql.sqlite._definitions import (
    RESET_PRAGMAS,
    check_names,
    judge_definition,
    reserved_objects,
)
from projections.sql.sqlite._schema import SqliteTable
from projections.sql.sqlite._statements import split_script, transaction_word

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
        self._reserved = reserved_objects(self._raw, self._schema.own)
        self._raw.execute(RESET_PRAGMAS)
        self._raw.set_authorizer(self._authorizer)
        try:
            return super().apply()
        finally:
            self._raw.set_authorizer(None)
            self._raw.execute(RESET_PRAGMAS)

    def _split(self, script: str) -> Iterator[str]:
        return split_script(script)

    def _transaction_word(self, statement: str) -> str:
        return transaction_word(statement)

    def _run(self, statement: str) -> None:
        try:
            self._judge(statement)
        except MigrationError:
            if self._authorizer.made != LEDGER or self._authorizer.taken != LEDGER:
                raise
            passed = self._passes_over(statement)
            self._reserved = reserved_objects(self._raw, self._schema.own)
            if passed:
                return
            self._judge(statement)
        if self._authorizer.defines:
            self._define(statement)
        elif self._authorizer.writes:
            self._change_rows()
        self._execute(statement)
        if self._authorizer.defines:
            self._check_names(statement)

    def _check_names(self, statement: str) -> None:
        """Refuse what only the result shows: a rename, and a foreign key."""
        try:
            check_names(self._raw, statement, self._reserved, self._schema.own)
        except SqlRefusedError as error:
            raise self._error(f"{error.reason} ({excerpt(statement)})") from error

    def _execute(self, statement: str) -> None:
        self._raw.execute(statement).close()

    def _judge(self, statement: str) -> None:
        """Compile a statement without running it, for the authorizer's notes.

        Raises MigrationError for a statement that no migration may have.
        """
        self._authorizer.own = self._schema.own
        try:
            judge_definition(self._raw, self._authorizer, statement)
        except SqlRefusedError as error:
            raise self._error(f"{error.reason} ({excerpt(statement)})") from error

    def _check_rows(self) -> None:
        row = self._raw.execute("PRAGMA foreign_key_check").fetchone()
        if row is not None:
            raise self._error(f"it leaves rows of {row[0]!r} that refer to no row of {row[2]!r}")
