"""The triggers that write the row changes of one SQLite table into the capture table.

Each writes a row there: what was done (:data:`INSERT` …), the table, the old row if there is one,
and behind it the new one.

SQLite fires no delete trigger for rows that ``INSERT OR REPLACE``, or any other REPLACE, removes.
Before each insert or update the triggers therefore write down the rows that conflict with the new
one, with their values, as :data:`CONFLICTING`. Afterwards those that no longer exist, or whose key
is now the new row's, were replaced, and become deletions. The entry of a conflicting row follows
that row through its changes and is dropped when the row is deleted; where the row stays (``OR
IGNORE``, an upsert) the entry has no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from projections.sql._identifiers import CAPTURE, quote_name, quote_text

if TYPE_CHECKING:
    from projections.sql.sqlite._schema import SqliteTable

CONFLICTING, INSERT, UPDATE, DELETE = range(4)

ENDANGERED: Final = f"{CAPTURE}_endangered"
"""The capture table's index."""

CAPTURING: Final = frozenset([CAPTURE, ENDANGERED])
"""The capture table and what belongs to it, the triggers aside."""


def make_triggers(one: SqliteTable) -> list[str]:
    """Return the statements that create a table's triggers.

    SQLite runs those of one event in the reverse order. Each that deals with conflicting rows is
    apart, so that its condition alone is evaluated where there are none.
    """
    made = _Triggers(one)
    ways = _conflicting_ways(one)
    other = [f"({way}) AND NOT ({made.is_updated_row()})" for way in ways]
    bodies = [
        ("before insert", "BEFORE INSERT", made.note_conflicting(ways)),
        ("before update", "BEFORE UPDATE", made.note_conflicting(other)),
        ("after insert", "AFTER INSERT", made.insert()),
        ("replaced by insert", "AFTER INSERT", made.replaced_by_insert()),
        ("moved by update", "AFTER UPDATE", made.moved_by_update()),
        ("after update", "AFTER UPDATE", made.update()),
        ("replaced by update", "AFTER UPDATE", made.replaced_by_update()),
        ("after delete", "AFTER DELETE", made.delete()),
        ("gone by delete", "AFTER DELETE", made.gone_by_delete()),
    ]
    table = quote_name(one.table.name)
    statements = []
    for name, event, body in bodies:
        trigger = quote_name(f"{CAPTURE} {name} {one.table.name}")
        statements.append(f"CREATE TRIGGER main.{trigger} {event} ON {table} {body}")
    return statements


class _Triggers:
    """Builds the parts of their SQL."""

    def __init__(self, one: SqliteTable) -> None:
        self._columns, self._key = one.table.columns, one.table.key
        self._nullable_key = one.nullable_key
        self._table = one.table.name
        self._name = quote_name(one.table.name)
        self._literal = quote_text(one.table.name)
        slots = [f"c{number}" for number in range(2 * len(self._columns))]
        self._slots = ", ".join(slots)
        self._half = ", ".join(slots[: len(self._columns)])
        self._slot_of = dict(zip(self._columns, slots, strict=False))
        self._noted = f"op = {CONFLICTING} AND tbl = {self._literal}"

    def _row(self, which: str) -> str:
        return ", ".join(f"{which}.{quote_name(column)}" for column in self._columns)

    def _has_noted_key(self, which: str) -> str:
        """Return the condition that a row has the key of a noted row."""
        # The column stands first: then its collation and affinity apply.
        return " AND ".join(
            f"{which}.{quote_name(column)} = {self._slot_of[column]}" for column in self._key
        )

    def is_updated_row(self) -> str:
        """Return the condition that ``x`` is the row that is updated."""
        return " AND ".join(
            f"x.{quote_name(column)} = OLD.{quote_name(column)}" for column in self._key
        )

    def note_conflicting(self, ways: list[str]) -> str:
        """Note the rows ``x`` that meet one of the conditions, each once."""
        # Apart each is one look at an index; together they would be united first.
        found = [f"EXISTS (SELECT 1 FROM {self._name} AS x WHERE {way})" for way in ways]
        where = " OR ".join(f"({way})" for way in ways)
        rows = f"FROM {self._name} AS x WHERE ({where})"
        return f"""WHEN {" OR ".join(found)} BEGIN
            DELETE FROM {CAPTURE} WHERE {self._noted}
                AND EXISTS (SELECT 1 {rows} AND {self._has_noted_key("x")});
            INSERT INTO {CAPTURE} (op, tbl, {self._half})
                SELECT {CONFLICTING}, {self._literal}, {self._row("x")} {rows};
        END"""

    def _when_noted(self) -> str:
        return f"WHEN EXISTS (SELECT 1 FROM {CAPTURE} WHERE {self._noted})"

    def _replaced(self, but: str = "") -> str:
        gone = f"NOT EXISTS (SELECT 1 FROM {self._name} AS x WHERE {self._has_noted_key('x')})"
        return f"""UPDATE {CAPTURE} SET op = {DELETE}
                WHERE {self._noted} AND (({self._has_noted_key("NEW")}) OR {gone}) {but};"""

    def _check_key(self) -> str:
        if not self._nullable_key:
            return ""
        reason = f"NULL in the primary key of {self._table}, whose rows could not be told apart"
        null = " OR ".join(f"NEW.{quote_name(column)} IS NULL" for column in self._key)
        return f"SELECT RAISE(ABORT, {quote_text(reason)}) WHERE {null};"

    def insert(self) -> str:
        """Write down the new row."""
        return f"""BEGIN {self._check_key()}
            INSERT INTO {CAPTURE} (op, tbl, {self._half})
                VALUES ({INSERT}, {self._literal}, {self._row("NEW")});
        END"""

    def replaced_by_insert(self) -> str:
        """Write down what a new row has replaced, before that row."""
        return f"{self._when_noted()} BEGIN {self._replaced()} END"

    def update(self) -> str:
        """Write down both rows."""
        return f"""BEGIN {self._check_key()}
            INSERT INTO {CAPTURE} (op, tbl, {self._slots})
                VALUES ({UPDATE}, {self._literal}, {self._row("OLD")}, {self._row("NEW")});
        END"""

    def replaced_by_update(self) -> str:
        """Write down what the changed row has replaced, before that row."""
        other = f"AND NOT ({self._has_noted_key('OLD')})"
        return f"{self._when_noted()} BEGIN {self._replaced(other)} END"

    def moved_by_update(self) -> str:
        """Where the old row was noted, note the new one instead, after the change."""
        old = f"{self._noted} AND {self._has_noted_key('OLD')}"
        return f"""{self._when_noted()} BEGIN
            INSERT INTO {CAPTURE} (op, tbl, {self._half})
                SELECT {CONFLICTING}, {self._literal}, {self._row("NEW")}
                WHERE EXISTS (SELECT 1 FROM {CAPTURE} WHERE {old});
            DELETE FROM {CAPTURE} WHERE {old} AND id < (SELECT max(id) FROM {CAPTURE});
        END"""

    def delete(self) -> str:
        """Write down the old row."""
        return f"""BEGIN
            INSERT INTO {CAPTURE} (op, tbl, {self._half})
                VALUES ({DELETE}, {self._literal}, {self._row("OLD")});
        END"""

    def gone_by_delete(self) -> str:
        """Drop the note of a row that is deleted."""
        return f"""{self._when_noted()} BEGIN
            DELETE FROM {CAPTURE} WHERE {self._noted} AND {self._has_noted_key("OLD")};
        END"""


def _conflicting_ways(one: SqliteTable) -> list[str]:
    """Return conditions: each row ``x`` that NEW may replace meets one, others may too."""
    ways = [
        " AND ".join(
            f"x.{quote_name(column)} = NEW.{quote_name(column)} COLLATE {quote_name(collation)}"
            for column, collation in index.parts
            if column is not None  # Tables with expressions are refused.
        )
        for index in one.unique_indexes
    ]
    return [*ways, f"x.{one.rowid} = NEW.{one.rowid}"] if one.rowid is not None else ways
