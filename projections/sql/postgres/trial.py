"""Trying out events of tables on PostgreSQL: by their syntax alone, no statement is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.sql._identifiers import LATER_RESERVED, LEDGER_NAMES, later_reserved
from projections.sql._replay import replay_errors
from projections.sql.events import read_schema
from projections.sql.model import ReservedNameError, SqlRefusedError
from projections.sql.postgres._table_columns import TableColumns
from projections.sql.postgres.definitions import judge_definition, list_names, makes_ledger
from projections.sql.postgres.parser import Statement, check_parser, parse_statements

if TYPE_CHECKING:
    from eventstore import Event
    from projections.sql._trial import ReservedNames
    from projections.sql.events import SchemaChange
    from projections.sql.model import Change


class PostgresTrial:
    """See :class:`~projections.sql._trial.Trial`."""

    def __init__(self, names: ReservedNames) -> None:
        check_parser()
        self._own = names.own
        self._free = LATER_RESERVED - (names.occupied - names.own)
        self._columns = TableColumns()
        self._taken: dict[str, int] = {}

    def define(self, event: Event) -> None:
        """Judge each statement, then note what all of them do."""
        with replay_errors(event.position):
            change = read_schema(event)
            if change.dialect != "postgres":
                raise LookupError(f"it is written for {change.dialect[:40]!r}, not for postgres")
            statements = [self._judge(statement) for statement in change.statements]
            columns = self._columns.copy()
            for statement in statements:
                columns.apply(statement)
            _check_tables(change, columns)
        self._columns = columns
        for statement in statements:
            self._note_names(statement, event.position)

    def _judge(self, sql: str) -> Statement:
        if makes_ledger(sql):
            self._free |= LEDGER_NAMES
        if judge_definition(sql, (), self._free, recorded=True) != "definition":
            raise SqlRefusedError(sql, "what a migration does to rows is recorded as rows")
        return parse_statements(sql)[0]

    def _note_names(self, statement: Statement, position: int) -> None:
        if statement.kind in {"DropStmt", "RenameStmt"}:
            # What is dropped takes indexes along, whose names are then free.
            kept = later_reserved(self._columns.tables)
            self._taken = {name: at for name, at in self._taken.items() if name in kept}
        if statement.kind != "DropStmt":
            gone = later_reserved([statement.node.get("relation", {}).get("relname", "")])
            named = later_reserved(list_names(statement))
            for name in named - (gone if statement.kind == "RenameStmt" else frozenset()):
                self._taken.setdefault(name, position)

    def check(self, change: Change) -> None:
        """Raise LookupError for a change of other columns than its table has, as far as known."""
        for row in (change.old, change.new):
            if row is not None:
                self._columns.check(change.table, row)

    def forget(self) -> None:
        """Know nothing of the tables any more: what is written is judged all the same."""
        self._columns = TableColumns(complete=False)

    def find_taken(self) -> list[ReservedNameError]:
        """Return an error for each name that an object has and that no rebuild leaves it."""
        taken = {name: at for name, at in self._taken.items() if name not in self._own}
        return [ReservedNameError(position, name) for name, position in taken.items()]


def _check_tables(change: SchemaChange, columns: TableColumns) -> None:
    for name in (*change.tables, *change.uncaptured):
        if not columns.may_have(name):
            reason = f"{name!r} is not one of the tables that the migrations make"
            raise SqlRefusedError(change.migration, reason)
