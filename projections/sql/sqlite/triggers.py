"""The triggers that write down what happens to the rows of one SQLite table.

Each of them writes rows of the capture table: what was done (:data:`INSERT` …), the table, the
old row where there is one, the new one behind it.

``INSERT OR REPLACE``, and whatever else replaces rows, fires no trigger for the rows that it
removes. Before each insert or update the rows that stand in its way are therefore noted as
*endangered*, with their values. Afterwards those that are no more, or whose key is now the new
row's, were replaced: their notes become deletions. A note follows its row through changes, is
dropped when the row is deleted, and means nothing where the row lived on (``OR IGNORE``, an
upsert).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.sql.model import OWN_PREFIX as OWN
from projections.sql.sqlite.schema import quote, text

if TYPE_CHECKING:
    from projections.sql.sqlite.schema import SqliteTable

ENDANGERED, INSERT, UPDATE, DELETE = range(4)


def make_triggers(one: SqliteTable) -> list[str]:
    """Return the statements that create a table's triggers."""
    made = _Triggers(one)
    clash = _clash(one)
    bodies = {
        "BEFORE INSERT": made.endanger(clash),
        "BEFORE UPDATE": made.endanger(f"({clash}) AND NOT ({made.itself()})"),
        "AFTER INSERT": made.insert(),
        "AFTER UPDATE": made.update(),
        "AFTER DELETE": made.delete(),
    }
    name = one.table.name
    return [
        f"CREATE TRIGGER {quote(f'{OWN} {event.lower()} {name}')} {event} ON {quote(name)} {body}"
        for event, body in bodies.items()
    ]


class _Triggers:
    """Parts of their SQL."""

    def __init__(self, one: SqliteTable) -> None:
        self._columns, self._key = one.table.columns, one.table.key
        self._loose = one.nullable_key
        self._plain = one.table.name
        self._name = quote(one.table.name)
        self._label = text(one.table.name)
        slots = [f"c{number}" for number in range(2 * len(self._columns))]
        self._slots = ", ".join(slots)
        self._half = ", ".join(slots[: len(self._columns)])
        self._at = dict(zip(self._columns, slots, strict=False))
        self._noted = f"op = {ENDANGERED} AND tbl = {self._label}"

    def _row(self, which: str) -> str:
        return ", ".join(f"{which}.{quote(column)}" for column in self._columns)

    def _is_key(self, which: str) -> str:
        """Whether a row has the key that a note has."""
        # The column first: its collation and affinity are those of the key.
        return " AND ".join(f"{which}.{quote(column)} = {self._at[column]}" for column in self._key)

    def itself(self) -> str:
        """Whether ``x`` is the row that is updated."""
        return " AND ".join(f"x.{quote(column)} = OLD.{quote(column)}" for column in self._key)

    def endanger(self, where: str) -> str:
        """Note the rows ``x`` that are in the way, each once."""
        rows = f"FROM {self._name} AS x WHERE ({where})"
        return f"""WHEN EXISTS (SELECT 1 {rows}) BEGIN
            DELETE FROM {OWN} WHERE {self._noted}
                AND EXISTS (SELECT 1 {rows} AND {self._is_key("x")});
            INSERT INTO {OWN} (op, tbl, {self._half})
                SELECT {ENDANGERED}, {self._label}, {self._row("x")} {rows};
        END"""

    def _replaced(self, but: str = "") -> str:
        gone = f"NOT EXISTS (SELECT 1 FROM {self._name} AS x WHERE {self._is_key('x')})"
        return f"""UPDATE {OWN} SET op = {DELETE}
                WHERE {self._noted} AND (({self._is_key("NEW")}) OR {gone}) {but};"""

    def _check_key(self) -> str:
        if not self._loose:
            return ""
        reason = f"NULL in the primary key of {self._plain}, whose rows could not be told apart"
        null = " OR ".join(f"NEW.{quote(column)} IS NULL" for column in self._key)
        return f"SELECT RAISE(ABORT, {text(reason)}) WHERE {null};"

    def insert(self) -> str:
        """Write down a new row, after those that it replaced."""
        return f"""BEGIN {self._check_key()}
            {self._replaced()}
            INSERT INTO {OWN} (op, tbl, {self._half})
                VALUES ({INSERT}, {self._label}, {self._row("NEW")});
        END"""

    def update(self) -> str:
        """Write down both rows; a note about the old one goes on as one about the new one."""
        old = f"{self._noted} AND {self._is_key('OLD')}"
        return f"""BEGIN {self._check_key()}
            {self._replaced(f"AND NOT ({self._is_key('OLD')})")}
            INSERT INTO {OWN} (op, tbl, {self._slots})
                VALUES ({UPDATE}, {self._label}, {self._row("OLD")}, {self._row("NEW")});
            INSERT INTO {OWN} (op, tbl, {self._half})
                SELECT {ENDANGERED}, {self._label}, {self._row("NEW")}
                WHERE EXISTS (SELECT 1 FROM {OWN} WHERE {old});
            DELETE FROM {OWN} WHERE {old} AND id < (SELECT max(id) FROM {OWN});
        END"""

    def delete(self) -> str:
        """Write down the row that was."""
        return f"""BEGIN
            DELETE FROM {OWN} WHERE {self._noted} AND {self._is_key("OLD")};
            INSERT INTO {OWN} (op, tbl, {self._half})
                VALUES ({DELETE}, {self._label}, {self._row("OLD")});
        END"""


def _clash(one: SqliteTable) -> str:
    """Return what is true of rows ``x`` that NEW may replace: perhaps of more, never of fewer."""
    ways = [
        " AND ".join(
            f"x.{quote(column)} = NEW.{quote(column)} COLLATE {quote(collation)}"
            for column, collation in unique.parts
        )
        for unique in one.uniques
    ]
    if one.rowid is not None:
        ways.append(f"x.{one.rowid} = NEW.{one.rowid}")
    return " OR ".join(f"({way})" for way in ways)
