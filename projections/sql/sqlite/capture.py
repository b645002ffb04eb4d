"""Capturing row changes on SQLite: triggers that write down, in the same transaction.

What a statement does is undone by its failure, a savepoint or a rollback, and so is what was
written down about it, because that is a table. Its columns have no type: values stay what
they are.

SQLite runs triggers in the reverse order of their creation, so these are made last, and run
before the users' own triggers can change what they see (projections/sql/sqlite/triggers.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from projections.sql.corrections import same, settle
from projections.sql.model import OWN_PREFIX, Change, RawText
from projections.sql.sqlite.schema import quote
from projections.sql.sqlite.triggers import DELETE, ENDANGERED, INSERT, UPDATE, make_triggers

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projections.sql.model import Op, Row, Table
    from projections.sql.sqlite.schema import SqliteTable

OPS: Final[dict[int, Op]] = {INSERT: "insert", UPDATE: "update", DELETE: "delete"}

BATCH: Final = 500


def install(raw: sqlite3.Connection, tables: Iterable[SqliteTable]) -> None:
    """Capture these tables and no others, from now on; what was captured has to be drained."""
    tables = list(tables)
    remove(raw)
    raw.execute(f"DROP TABLE IF EXISTS {OWN_PREFIX}")
    width = max([2 * len(one.table.columns) for one in tables], default=0)
    columns = "".join(f", c{number}" for number in range(width))
    raw.execute(f"CREATE TABLE {OWN_PREFIX} (id INTEGER PRIMARY KEY, op, tbl{columns})")
    raw.execute(
        f"CREATE INDEX {OWN_PREFIX}_endangered ON {OWN_PREFIX} (tbl) WHERE op = {ENDANGERED}"
    )
    for one in tables:
        for statement in make_triggers(one):
            raw.execute(statement)


def remove(raw: sqlite3.Connection) -> None:
    """Capture nothing any more."""
    for name in _own_triggers(raw):
        raw.execute(f"DROP TRIGGER {quote(name)}")


def captured(raw: sqlite3.Connection) -> list[str]:
    """Return the names of the tables that are captured."""
    rows = raw.execute(
        "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger' "
        "AND name LIKE ? ESCAPE '\\' ORDER BY 1",
        (OWN_PREFIX.replace("_", "\\_") + "%",),
    )
    return [row[0] for row in rows.fetchall()]


def _own_triggers(raw: sqlite3.Connection) -> list[str]:
    rows = raw.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE ? ESCAPE '\\'",
        (OWN_PREFIX.replace("_", "\\_") + "%",),
    )
    return [row[0] for row in rows.fetchall()]


def drain(raw: sqlite3.Connection, tables: Mapping[str, Table]) -> Iterator[Change]:
    """Yield what was captured, in order; the caller clears it afterwards (:func:`clear`).

    Texts are :class:`RawText`. Updates that changed nothing are left out.
    """
    with _exact(raw):
        yield from settle(_captured(raw, tables), tables, partial(_fetch, raw))


@contextmanager
def _exact(raw: sqlite3.Connection) -> Iterator[None]:
    """Read plain rows, and texts as they are."""
    before = raw.text_factory, raw.row_factory
    raw.text_factory, raw.row_factory = RawText, None
    try:
        yield
    finally:
        raw.text_factory, raw.row_factory = before


def _captured(raw: sqlite3.Connection, tables: Mapping[str, Table]) -> Iterator[Change]:
    cursor = raw.execute(f"SELECT * FROM {OWN_PREFIX} WHERE op > {ENDANGERED} ORDER BY id")
    while rows := cursor.fetchmany(BATCH):
        for _, op, table, *values in rows:
            change = _change(OPS[op], tables[table.decode()], values)
            if change is not None:
                yield change


def _fetch(raw: sqlite3.Connection, table: Table, key: Sequence[Any]) -> Row | None:
    marks, values = bind(key)
    where = " AND ".join(f"{quote(c)} = {mark}" for c, mark in zip(table.key, marks, strict=True))
    columns = ", ".join(map(quote, table.columns))
    row = raw.execute(f"SELECT {columns} FROM {quote(table.name)} WHERE {where}", values).fetchone()
    return None if row is None else dict(zip(table.columns, row, strict=True))


def bind(values: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Return a placeholder for each value, and the values; sqlite3 binds no broken text."""
    marks = ["CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in values]
    return marks, [bytes(v) if isinstance(v, RawText) else v for v in values]


def clear(raw: sqlite3.Connection) -> None:
    """Forget what was captured."""
    raw.execute(f"DELETE FROM {OWN_PREFIX}")


def _change(op: Op, table: Table, values: Sequence[Any]) -> Change | None:
    count = len(table.columns)
    first = dict(zip(table.columns, values[:count], strict=True))
    key = {column: first[column] for column in table.key}
    if op == "insert":
        return Change(table.name, op, key, None, first)
    if op == "delete":
        return Change(table.name, op, key, first, None)
    second = dict(zip(table.columns, values[count : 2 * count], strict=True))
    if all(same(first[column], second[column]) for column in table.columns):
        return None
    return Change(table.name, op, key, first, second)
