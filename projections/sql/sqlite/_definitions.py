"""What a migration's statement does on SQLite, and whether it may.

SQLite's compiler tells what a statement would do. What it does not tell beforehand, the new name of
a table and the tables that a foreign key refers to, is looked up afterwards.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from projections.sql._identifiers import is_reserved
from projections.sql.model import SqlRefusedError
from projections.sql.sqlite._authorizer import Mode
from projections.sql.sqlite._triggers import CAPTURING

if TYPE_CHECKING:
    from collections.abc import Collection

    from projections.sql.sqlite._authorizer import StatementAuthorizer


RESET_PRAGMAS: Final = "PRAGMA legacy_alter_table = OFF"
"""Undoes what a migration has changed for its own definitions."""

_IDLE: Final = {"Goto", "Halt", "Init", "Noop"}
_ASKS: Final = -1


def judge_definition(
    raw: sqlite3.Connection, authorizer: StatementAuthorizer, statement: str
) -> None:
    """Compile a statement without running it, for the authorizer's notes.

    The connection has that authorizer. Raises SqlRefusedError for a statement that no migration
    may have, sqlite3.Error for one that is wrong.
    """
    authorizer.reset()
    authorizer.mode = Mode.MIGRATE
    try:
        raw.execute(f"EXPLAIN {statement}").close()
    except sqlite3.DatabaseError as error:
        if authorizer.transaction:
            reason = f"a migration is one transaction: leave {authorizer.transaction} out"
            raise SqlRefusedError(statement, reason) from error
        if authorizer.refusal:
            raise SqlRefusedError(statement, authorizer.refusal, authorizer.taken) from error
        raise
    finally:
        authorizer.mode = Mode.OWN


def changes_nothing(raw: sqlite3.Connection, statement: str) -> bool:
    """Return True if SQLite compiles a statement to a program without a step that does anything.

    That is what becomes of ``CREATE … IF NOT EXISTS`` where the object is there. The statement is
    compiled without asking an authorizer, and not run.
    """
    cursor = raw.cursor()
    cursor.row_factory = None
    try:
        steps = cursor.execute(f"EXPLAIN {statement}").fetchall()
    except sqlite3.Error:
        return False
    return all(_is_idle(opcode, second, third) for _, opcode, _, second, third, *_ in steps)


def _is_idle(opcode: str, second: int, third: int) -> bool:
    if opcode == "JournalMode":
        return third == _ASKS  # SQLite adds it to what it skips, and changes no mode by it.
    return opcode in _IDLE or (opcode == "Transaction" and not second)


def reserved_objects(raw: sqlite3.Connection, own: Collection[str]) -> frozenset[str]:
    """Return the tables, views and indexes that are called as only the log and this package may.

    ``own`` are reserved names that the program has, since before they were reserved.
    """
    rows = raw.execute("SELECT name FROM main.sqlite_master WHERE type <> 'trigger'").fetchall()
    # What captures comes and goes with each definition.
    return frozenset(name for (name,) in rows if is_reserved(name, own) and name not in CAPTURING)


def check_names(
    raw: sqlite3.Connection, statement: str, before: frozenset[str], own: Collection[str]
) -> None:
    """Raise SqlRefusedError where a definition, which has run, has taken a name of the log's.

    ``before`` are the :func:`reserved_objects` that were there before it.
    """
    if taken := reserved_objects(raw, own) - before:
        reason = f"{min(taken)!r} is a name of the log's own: choose another"
        raise SqlRefusedError(statement, reason, min(taken))
    parents = raw.execute(
        'SELECT DISTINCT t.name, f."table" FROM pragma_table_list AS t, '
        "pragma_foreign_key_list(t.name, 'main') AS f WHERE t.schema = 'main'"
    )
    for table, parent in parents.fetchall():
        if is_reserved(parent, own) and not is_reserved(table, own):
            raise SqlRefusedError(
                statement,
                f"table {table!r} refers to {parent!r}, which is the log's own: "
                "leave the foreign key out",
            )
