"""What a migration's statement does on SQLite, and whether it may.

SQLite's compiler tells what a statement would do. What it does not tell beforehand, the new name of
a table and the tables that a foreign key refers to, is looked up afterwards.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from projections.sql._identifiers import is_reserved
from projections.sql.model import SqlRefusedError
from projections.sql.sqlite._authorizer import Mode
from projections.sql.sqlite._triggers import CAPTURING

if TYPE_CHECKING:
    from projections.sql.sqlite._authorizer import StatementAuthorizer


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
            raise SqlRefusedError(statement, authorizer.refusal) from error
        raise
    finally:
        authorizer.mode = Mode.OWN


def reserved_objects(raw: sqlite3.Connection) -> frozenset[str]:
    """Return the tables, views and indexes that are called as only the log and this package may."""
    rows = raw.execute("SELECT name FROM main.sqlite_master WHERE type <> 'trigger'").fetchall()
    # What captures comes and goes with each definition.
    return frozenset(name for (name,) in rows if is_reserved(name) and name not in CAPTURING)


def find_taken_names(raw: sqlite3.Connection, before: frozenset[str]) -> str:
    """Return what a definition has taken of the log's names; empty where it has taken none.

    ``before`` are the :func:`reserved_objects` that were there before it.
    """
    if taken := reserved_objects(raw) - before:
        return f"{min(taken)!r} is a name of the log's own: choose another"
    parents = raw.execute(
        'SELECT DISTINCT t.name, f."table" FROM pragma_table_list AS t, '
        "pragma_foreign_key_list(t.name, 'main') AS f WHERE t.schema = 'main'"
    )
    for table, parent in parents.fetchall():
        if is_reserved(parent) and not is_reserved(table):
            return (
                f"table {table!r} refers to {parent!r}, which is the log's own: "
                "leave the foreign key out"
            )
    return ""
