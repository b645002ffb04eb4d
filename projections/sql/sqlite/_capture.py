"""Capturing row changes on SQLite: triggers that write them down in the same transaction.

The columns of the capture table have no type, so values stay exactly what they are.

SQLite runs triggers in the reverse order of their creation. Those that capture are created last,
and so run before the users' own triggers can change what they see.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from projections.sql._capture import Capture
from projections.sql._corrections import same_value, with_corrections
from projections.sql._identifiers import CAPTURE, quote_name, quote_text
from projections.sql.model import Change, RawText
from projections.sql.sqlite._schema import SqliteTable
from projections.sql.sqlite._triggers import (
    CONFLICTING,
    DELETE,
    ENDANGERED,
    INSERT,
    UPDATE,
    make_triggers,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from projections.sql._compact import CompactTable
    from projections.sql.model import CapturedTable, Op, RowValues

_OPS: Final[dict[int, Op]] = {INSERT: "insert", UPDATE: "update", DELETE: "delete"}

_ROWS: Final = f"SELECT * FROM main.{CAPTURE} WHERE op > {CONFLICTING} ORDER BY id"

_PAGE: Final = 500
"""Captured rows that are encoded at once."""


class SqliteCapture(Capture[SqliteTable]):
    """See :class:`Capture`. Texts are read as :class:`RawText`."""

    _few: list[Any] | None = None
    """What was captured, where it is read already."""

    def list_tables(self) -> list[str]:
        """Return the names of the captured tables."""
        return sorted({table for _, table in self._own_triggers()})

    def _own_triggers(self) -> list[tuple[str, str]]:
        """Return (name, table) of each trigger that captures."""
        rows: list[tuple[str, str]] = self._raw.execute(
            "SELECT name, tbl_name FROM main.sqlite_master WHERE type = 'trigger' "
            "AND name LIKE ? ESCAPE '\\'",
            (CAPTURE.replace("_", "\\_") + "%",),
        ).fetchall()
        return rows

    def install(self, tables: Iterable[SqliteTable]) -> None:
        """Capture these tables, and no others, from now on; deletes what was captured."""
        tables = list(tables)
        self.remove()
        self._raw.execute(f"DROP TABLE IF EXISTS main.{CAPTURE}")
        width = max([2 * len(one.table.columns) for one in tables], default=0)
        columns = "".join(f", c{number}" for number in range(width))
        self._raw.execute(f"CREATE TABLE main.{CAPTURE} (id INTEGER PRIMARY KEY, op, tbl{columns})")
        self._raw.execute(
            f"CREATE INDEX main.{ENDANGERED} ON {CAPTURE} (tbl) WHERE op = {CONFLICTING}"
        )
        for one in tables:
            for statement in make_triggers(one):
                self._raw.execute(statement)

    def remove(self) -> None:
        """Drop the triggers of all tables."""
        for name, _ in self._own_triggers():
            self._raw.execute(f"DROP TRIGGER main.{quote_name(name)}")

    def read_changes(self, tables: Mapping[str, SqliteTable]) -> Iterator[Change]:
        """Yield the transaction's row changes in order, corrections included."""
        with _exact_values(self._raw):
            captured = _read_captured(self._raw, tables, self._few)
            yield from with_corrections(captured, tables, partial(_fetch_row, self._raw))

    def _has_many(self, least: int) -> bool:
        with _exact_values(self._raw):
            cursor = self._raw.execute(_ROWS)
            rows = cursor.fetchmany(least)
            cursor.close()
        self._few = rows if len(rows) < least else None
        return self._few is None

    def _read_kinds(self) -> Sequence[tuple[str, Op]]:
        query = f"SELECT DISTINCT tbl, op FROM main.{CAPTURE} WHERE op > {CONFLICTING}"
        with _exact_values(self._raw, str):
            return [(name, _OPS[op]) for name, op in self._raw.execute(query)]

    def _read_rows(
        self, kinds: Sequence[CompactTable], tables: Mapping[str, SqliteTable]
    ) -> Generator[Sequence[Sequence[Any]] | None, None, None]:
        counts = [len(tables[one.name].table.columns) for one in kinds]
        widths = [n * (1 + (one.op == "update")) for n, one in zip(counts, kinds, strict=True)]
        number = {op: number for number, op in _OPS.items()}
        place = " ".join(
            f"WHEN tbl = {quote_text(one.name)} AND op = {number[one.op]} THEN {place}"
            for place, one in enumerate(kinds)
        )
        slots = "".join(f", c{slot}" for slot in range(max(widths)))
        query = f"SELECT CASE {place} END{slots} FROM main.{CAPTURE} WHERE op > {CONFLICTING}"
        with _exact_values(self._raw, str):
            cursor = self._raw.execute(f"{query} ORDER BY id")
            try:
                while rows := cursor.fetchmany(_PAGE):
                    wide = len(set(widths)) == 1
                    yield rows if wide else [row[: 1 + widths[row[0]]] for row in rows]
            except sqlite3.OperationalError:
                yield None  # A text that is not UTF-8.

    def clear(self) -> None:
        """Delete what was captured."""
        self._few = None
        self._raw.execute(f"DELETE FROM main.{CAPTURE}")


@contextmanager
def _exact_values(raw: sqlite3.Connection, texts: type[str | bytes] = RawText) -> Iterator[None]:
    """Read rows as tuples and texts as bytes, instead of what the caller has set."""
    before = raw.text_factory, raw.row_factory
    raw.text_factory, raw.row_factory = texts, None
    try:
        yield
    finally:
        raw.text_factory, raw.row_factory = before


def _read_captured(
    raw: sqlite3.Connection, tables: Mapping[str, SqliteTable], few: list[Any] | None
) -> Iterator[Change]:
    for _, op, table, *values in raw.execute(_ROWS) if few is None else few:
        change = _make_change(_OPS[op], tables[table.decode()].table, values)
        if change is not None:
            yield change


def _make_change(op: Op, table: CapturedTable, values: Sequence[Any]) -> Change | None:
    count = len(table.columns)
    first = dict(zip(table.columns, values[:count], strict=True))
    key = {column: first[column] for column in table.key}
    if op == "insert":
        return Change(table.name, op, key, None, first)
    if op == "delete":
        return Change(table.name, op, key, first, None)
    second = dict(zip(table.columns, values[count : 2 * count], strict=True))
    if all(same_value(first[column], second[column]) for column in table.columns):
        return None
    return Change(table.name, op, key, first, second)


def _fetch_row(
    raw: sqlite3.Connection, table: CapturedTable, key: Sequence[Any]
) -> RowValues | None:
    marks, values = bind(key)
    pairs = zip(table.key, marks, strict=True)
    where = " AND ".join(f"{quote_name(column)} = {mark}" for column, mark in pairs)
    columns = ", ".join(map(quote_name, table.columns))
    row = raw.execute(
        f"SELECT {columns} FROM main.{quote_name(table.name)} WHERE {where}", values
    ).fetchone()
    return None if row is None else dict(zip(table.columns, row, strict=True))


def bind(values: Iterable[Any]) -> tuple[list[str], list[Any]]:
    """Return a placeholder for each value, and the values; sqlite3 binds no text in bytes."""
    values = list(values)
    if RawText not in map(type, values):
        return ["?"] * len(values), values
    marks = ["CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in values]
    return marks, [bytes(v) if isinstance(v, RawText) else v for v in values]
