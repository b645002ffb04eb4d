"""What SQLite says that tables are made of, as far as capturing and rebuilding have to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.storage.schema_check import TABLES as LOG_TABLES
from projections.sql.model import LEDGER, OWN_PREFIX, Table

if TYPE_CHECKING:
    import sqlite3

RESERVED: Final = frozenset([*LOG_TABLES, LEDGER, OWN_PREFIX])
"""Tables that are the log's or the storage's own."""


class Unique(NamedTuple):
    """A unique index: (column, collation) of each part."""

    name: str
    parts: tuple[tuple[str, str], ...]


class SqliteTable(NamedTuple):
    """A table with what SQLite alone has."""

    table: Table
    uniques: tuple[Unique, ...]
    rowid: str | None
    """What names the row's number here; ``None`` for WITHOUT ROWID."""
    nullable_key: bool
    """Whether SQLite lets a column of the key be NULL."""


def quote(name: str) -> str:
    """Return an identifier that may stand in SQL."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """Return a literal that may stand in SQL."""
    return "'" + value.replace("'", "''") + "'"


def list_tables(raw: sqlite3.Connection) -> dict[str, str]:
    """Return kind (``table``, ``virtual``, ``shadow``, ``view``) by name; not SQLite's own."""
    rows = raw.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'")
    return {name: kind for name, kind in rows.fetchall() if not name.startswith("sqlite_")}


def read_table(raw: sqlite3.Connection, name: str) -> SqliteTable:
    """Return what a table is made of; its key is empty where it has no primary key."""
    rows = raw.execute(
        'SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?)', (name,)
    ).fetchall()
    columns = tuple(row[0] for row in rows if row[4] == 0)
    key = tuple(row[0] for row in sorted(rows, key=lambda row: row[3]) if row[3])
    (without_rowid,) = raw.execute(
        "SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?", (name,)
    ).fetchone()
    names = {row[0].lower() for row in rows}
    aliases = [one for one in ("rowid", "_rowid_", "oid") if one not in names]
    uniques = _read_uniques(raw, name)
    # An INTEGER PRIMARY KEY is the rowid itself, has no index, and is never NULL.
    by_index = any(tuple(column for column, _ in one.parts) == key for one in uniques)
    loose = any(row[3] and not row[2] for row in rows)
    return SqliteTable(
        Table(name, columns, key),
        uniques,
        None if without_rowid or not aliases else aliases[0],
        not without_rowid and by_index and loose,
    )


def _read_uniques(raw: sqlite3.Connection, name: str) -> tuple[Unique, ...]:
    found = raw.execute('SELECT name FROM pragma_index_list(?) WHERE "unique"', (name,)).fetchall()
    return tuple(
        Unique(
            index,
            tuple(
                raw.execute(
                    "SELECT name, coll FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno",
                    (index,),
                ).fetchall()
            ),
        )
        for (index,) in found
    )


def find_fault(table: SqliteTable) -> str | None:
    """Return why a table cannot be captured, ``None`` where it can."""
    name = table.table.name
    if not table.table.key:
        return f"table {name!r} has no primary key, so that its rows cannot be told apart: add one"
    for unique in table.uniques:
        if any(column is None for column, _ in unique.parts):
            return (
                f"the unique index {unique.name!r} of table {name!r} is over an expression, "
                "through which a row could be replaced unseen: use a generated column"
            )
    return None


def read_triggers(raw: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (name, sql) of each trigger of the users' own, in the order they were made."""
    rows: list[Any] = raw.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    return [(name, sql) for name, sql in rows if not is_own(name) and not is_of_log(raw, name)]


def is_own(name: str) -> bool:
    """Whether an object is the storage's own."""
    return name.lower().startswith(OWN_PREFIX)


def is_of_log(raw: sqlite3.Connection, trigger: str) -> bool:
    """Whether a trigger guards the log's own tables."""
    row = raw.execute(
        "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name = ?", (trigger,)
    ).fetchone()
    return row is not None and row[0].lower() in RESERVED
