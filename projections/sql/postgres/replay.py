"""Computing the users' tables from the log, in a PostgreSQL database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import psycopg

from projections.sql._identifiers import LEDGER, quote_name
from projections.sql._replay import Replay
from projections.sql._target_table import TargetTable
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._cursor import execute_one
from projections.sql.postgres._schema import (
    PostgresSchema,
    PostgresTable,
    quote_for_parameters,
)
from projections.sql.postgres._values import to_text
from projections.sql.postgres.definitions import judge_definition, makes_ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from projections.sql.model import RowValues

_FOREIGN_KEYS: Final = (
    "SELECT t.relname, c.conname, pg_catalog.pg_get_constraintdef(c.oid) FROM "
    "pg_catalog.pg_constraint c "
    "JOIN pg_catalog.pg_class t ON t.oid = c.conrelid WHERE c.contype = 'f' "
    "AND t.relnamespace = current_schema()::regnamespace::oid AND t.relname = ANY(%s) ORDER BY 1, 2"
)


class _PostgresTarget(TargetTable[PostgresTable]):
    insert_clause = "OVERRIDING SYSTEM VALUE"

    _quote = staticmethod(quote_for_parameters)

    def _bind(
        self, columns: Iterable[str], values: Iterable[Any]
    ) -> tuple[list[str], list[str | None]]:
        marks = [f"%s::{self._description.types[column]}" for column in columns]
        return marks, [to_text(value) for value in values]

    def _assignable(self, row: RowValues) -> RowValues:
        fixed = self._description.always_identity
        return {name: value for name, value in row.items() if name not in fixed}


class PostgresReplay(Replay):
    """See :class:`Replay`."""

    dialect = "postgres"
    errors: ClassVar[type[Exception]] = psycopg.Error
    schema_type = PostgresSchema
    target_type = _PostgresTarget

    def _execute(self, statement: str) -> None:
        self.raw.execute(statement.encode())

    def _execute_recorded(self, statement: str) -> None:
        if LEDGER not in self._schema.own and makes_ledger(statement):
            self._schema.move_ledger()
        # An event may come from a program that judged nothing.
        step = judge_definition(statement, self.foreign or (), self._schema.own, recorded=True)
        if step != "definition":
            raise SqlRefusedError(statement, "what a migration does to rows is recorded as rows")
        execute_one(self.raw, statement)

    def _suspend(self, tables: Sequence[str]) -> list[str]:
        """Drop foreign keys and disable the users' triggers."""
        statements = []
        for table, name, definition in self.raw.execute(_FOREIGN_KEYS, (list(tables),)).fetchall():
            alter = f"ALTER TABLE {quote_name(table)}"
            self._execute(f"{alter} DROP CONSTRAINT {quote_name(name)}")
            statements.append(f"{alter} ADD CONSTRAINT {quote_name(name)} {definition}")
        for table in tables:
            self._execute(f"ALTER TABLE {quote_name(table)} DISABLE TRIGGER USER")
            statements.append(f"ALTER TABLE {quote_name(table)} ENABLE TRIGGER USER")
        return statements
