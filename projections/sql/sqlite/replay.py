"""Computing the users' tables from the log, in a SQLite database."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, ClassVar, Final

from projections.sql._identifiers import LEDGER, quote_name
from projections.sql._replay import Replay
from projections.sql._target_table import TargetTable
from projections.sql.model import SqlRefusedError
from projections.sql.sqlite._authorizer import StatementAuthorizer
from projections.sql.sqlite._capture import bind
from projections.sql.sqlite._definitions import (
    RESET_PRAGMAS,
    check_names,
    judge_definition,
    reserved_objects,
)
from projections.sql.sqlite._schema import SqliteSchema, SqliteTable, list_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WRITES: Final = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}


class _SqliteTarget(TargetTable[SqliteTable]):
    _quote = staticmethod(quote_name)

    def _bind(self, _: Iterable[str], values: Iterable[Any]) -> tuple[list[str], list[Any]]:
        return bind(values)


class SqliteReplay(Replay):
    """See :class:`Replay`. Foreign keys must not be enforced on the connection.

    Of the users' triggers only those run that write nothing but virtual tables, because the rows
    of a full-text index are not recorded.
    """

    dialect = "sqlite"
    errors: ClassVar[type[Exception]] = sqlite3.Error
    schema_type = SqliteSchema
    _schema: SqliteSchema
    target_type = _SqliteTarget

    def _begin_migration(self) -> None:
        self.raw.execute(RESET_PRAGMAS)

    def _execute_recorded(self, statement: str) -> None:
        authorizer = StatementAuthorizer()
        authorizer.recorded = True
        authorizer.foreign = frozenset(name.lower() for name in self.foreign or ())
        self.raw.set_authorizer(authorizer)
        try:
            # An event may come from a program that judged nothing.
            self._judge(authorizer, statement)
        finally:
            self.raw.set_authorizer(None)
        if not authorizer.defines:
            raise SqlRefusedError(statement, "what a migration does to rows is recorded as rows")
        before = reserved_objects(self.raw, self._schema.own)
        self._execute(statement)
        check_names(self.raw, statement, before, self._schema.own)

    def _judge(self, authorizer: StatementAuthorizer, statement: str) -> None:
        authorizer.own = self._schema.own
        try:
            judge_definition(self.raw, authorizer, statement)
        except SqlRefusedError:
            if authorizer.made != LEDGER or authorizer.taken != LEDGER:
                raise
            # The program has made a table that is called as the ledger.
            self._schema.move_ledger()
            authorizer.own = self._schema.own
            judge_definition(self.raw, authorizer, statement)

    def _suspend(self, tables: Sequence[str]) -> list[str]:  # noqa: ARG002 - triggers of all
        statements = []
        for name, sql in self._schema.read_triggers():
            if not _writes_virtual_tables_only(self.raw, name):
                statements.append(sql)
                self.raw.execute(f"DROP TRIGGER main.{quote_name(name)}")
        return statements


def _writes_virtual_tables_only(raw: sqlite3.Connection, trigger: str) -> bool:
    """Return True if SQLite's compiler finds that a trigger writes only virtual tables."""
    (table,) = raw.execute(
        "SELECT tbl_name FROM main.sqlite_master WHERE type = 'trigger' AND name = ?", (trigger,)
    ).fetchone()
    kinds = list_objects(raw)
    if kinds.get(table) != "table":
        return False
    written: set[str] = set()

    def note(action: int, first: str | None, _2: Any, _3: Any, within: str | None) -> int:
        if within == trigger and action in _WRITES:
            written.add(first or "")
        return sqlite3.SQLITE_OK

    columns = SqliteSchema(raw).read_table(table).table.columns
    assigned = ", ".join(f"{quote_name(column)} = {quote_name(column)}" for column in columns)
    raw.set_authorizer(note)
    try:
        for sql in (
            f"INSERT INTO {quote_name(table)} DEFAULT VALUES",
            f"UPDATE {quote_name(table)} SET {assigned}",
            f"DELETE FROM {quote_name(table)}",
        ):
            raw.execute(f"EXPLAIN {sql}").close()
    finally:
        raw.set_authorizer(None)
    return bool(written) and all(kinds.get(name) in {"virtual", "shadow"} for name in written)
