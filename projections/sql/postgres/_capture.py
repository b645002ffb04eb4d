"""Capturing row changes on PostgreSQL: one trigger per table, which writes into one table.

Values are captured as the texts that PostgreSQL itself writes and reads. The capture table is
unlogged: its rows never outlive their transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eventstore.storage.postgres.owners import check_owners
from projections.sql._capture import Capture
from projections.sql._corrections import same_value, with_corrections
from projections.sql._identifiers import CAPTURE, quote_name
from projections.sql.model import Change
from projections.sql.postgres._schema import PostgresTable, quote_for_parameters
from projections.sql.postgres._triggers import (
    ROW_TRIGGER,
    TRUNCATE_TRIGGER,
    function_name,
    make_triggers,
)
from projections.sql.postgres._values import JSON_CASTS, read_row, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projections.sql.model import CapturedTable, Op, RowValues

_OPS: Final[dict[str, Op]] = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}

_BATCH: Final = 1000
"""Captured rows that are fetched at once."""

_PAGE: Final = 500
"""The same of rows that are encoded at once."""


class PostgresCapture(Capture[PostgresTable]):
    """See :class:`Capture`."""

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._first: list[Any] = []
        """The first rows that were captured."""

    def list_tables(self) -> list[str]:
        """Return the names of the captured tables."""
        rows = self._raw.execute(
            "SELECT c.relname FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON "
            "c.oid = t.tgrelid "
            "WHERE c.relnamespace = current_schema()::regnamespace::oid AND t.tgname = %s "
            "ORDER BY 1",
            (ROW_TRIGGER,),
        ).fetchall()
        return [name for (name,) in rows]

    def read_version(self, table: int) -> tuple[bool, int | None]:
        """Return whether the transaction has written, and a version of the captured tables.

        The version is the number of the trigger of one captured ``table``, given by its own. Each
        migration creates the triggers of all tables again. It is None where there is none.
        """
        found: tuple[bool, int | None] = self._raw.execute(
            "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL, (SELECT oid "
            "FROM pg_catalog.pg_trigger WHERE tgrelid = %s::oid AND tgname = %s)",
            (table, ROW_TRIGGER),
        ).fetchone()
        return found

    def find_any_table(self) -> int:
        """Return the number of a captured table, 0 where there is none."""
        found = self._raw.execute(
            "SELECT t.tgrelid FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON "
            "c.oid = t.tgrelid WHERE c.relnamespace = current_schema()::regnamespace::oid "
            "AND t.tgname = %s ORDER BY 1 LIMIT 1",
            (ROW_TRIGGER,),
        ).fetchone()
        return found[0] if found else 0

    def install(self, tables: Iterable[PostgresTable]) -> None:
        """Capture the changes of these tables from now on."""
        (schema,) = self._raw.execute("SELECT pg_catalog.quote_ident(current_schema())").fetchone()
        self._raw.execute(
            f"CREATE UNLOGGED TABLE IF NOT EXISTS {CAPTURE} (id bigint GENERATED ALWAYS AS "
            "IDENTITY PRIMARY KEY, op text NOT NULL, tbl text NOT NULL, old text[], new text[])"
        )
        # Another role may have made it first, with triggers or defaults of its own.
        check_owners(self._raw, f"the database {self._raw.info.dbname!r}")
        for one in tables:
            for statement in make_triggers(one.table, schema):
                self._raw.execute(statement)

    def remove(self) -> None:
        """Drop the triggers of all tables."""
        for name in self.list_tables():
            for trigger in (ROW_TRIGGER, TRUNCATE_TRIGGER):
                self._raw.execute(
                    f"DROP TRIGGER IF EXISTS {quote_name(trigger)} ON {quote_name(name)}"
                )
            self._raw.execute(f"DROP FUNCTION IF EXISTS {function_name(name)}()")

    def _has_only_inserts(self, least: int) -> bool:
        self._first = _declare(self._raw)
        if len(self._first) < max(least, _BATCH):
            return False
        query = f"SELECT 1 FROM {CAPTURE} WHERE op <> 'INSERT' LIMIT 1"
        return self._raw.execute(query).fetchone() is None

    def _read_inserted(
        self, places: Mapping[str, int], tables: Mapping[str, PostgresTable]
    ) -> Iterator[Sequence[Sequence[Any]]]:
        used = {name for (name,) in self._raw.execute(f"SELECT DISTINCT tbl FROM {CAPTURE}")}
        if len(used) != 1:
            yield [[b""]]
            return
        (name,) = used
        # The server reads the texts, into what JSON has a kind for.
        values = "".join(
            f", new[{number}]{JSON_CASTS.get(kind, '')}"
            for number, kind in enumerate(tables[name].types.values(), 1)
        )
        rows = f"{CAPTURE}_inserted"
        self._raw.execute(
            f"DECLARE {rows} NO SCROLL CURSOR FOR SELECT {places[name]}{values} FROM {CAPTURE} "
            "ORDER BY id"
        )
        while page := self._raw.execute(f"FETCH {_PAGE} FROM {rows}").fetchall():
            yield page
        self._raw.execute(f"CLOSE {rows}")

    def read_changes(self, tables: Mapping[str, PostgresTable]) -> Iterator[Change]:
        """Yield the transaction's row changes in order, corrections included."""

        def fetch(table: CapturedTable, key: Sequence[Any]) -> RowValues | None:
            return _fetch_row(self._raw, tables[table.name], key)

        yield from with_corrections(_read_captured(self._raw, self._first, tables), tables, fetch)

    def clear(self) -> None:
        """Delete what was captured, after :meth:`read_changes`."""
        self._raw.execute(f"CLOSE {CAPTURE}_rows; DELETE FROM {CAPTURE}")


def _declare(raw: Any) -> list[Any]:
    """Open a cursor for what was captured; return its first rows."""
    # Several statements in one round trip. Deferred triggers may change rows: they run now.
    cursor = raw.execute(
        f"SET CONSTRAINTS ALL IMMEDIATE; DECLARE {CAPTURE}_rows NO SCROLL CURSOR FOR "
        f"SELECT op, tbl, old, new FROM {CAPTURE} ORDER BY id; "
        f"FETCH {_BATCH} FROM {CAPTURE}_rows"
    )
    while cursor.nextset():
        pass
    first: list[Any] = cursor.fetchall()
    return first


def _read_captured(
    raw: Any, first: list[Any], tables: Mapping[str, PostgresTable]
) -> Iterator[Change]:
    rows = first
    while rows:
        for op, name, old, new in rows:
            change = _make_change(_OPS[op], tables[name], old, new)
            if change is not None:
                yield change
        if len(rows) < _BATCH:
            break
        rows = raw.execute(f"FETCH {_BATCH} FROM {CAPTURE}_rows").fetchall()


def _make_change(
    op: Op, description: PostgresTable, old: list[str | None] | None, new: list[str | None] | None
) -> Change | None:
    before = None if old is None else read_row(description, old)
    after = None if new is None else read_row(description, new)
    if before and after and all(same_value(before[c], after[c]) for c in before):
        return None
    known = before or after or {}
    key = {column: known[column] for column in description.table.key}
    return Change(description.table.name, op, key, before, after)


def _fetch_row(raw: Any, description: PostgresTable, key: Sequence[Any]) -> RowValues | None:
    table, quote = description.table, quote_for_parameters
    where = " AND ".join(
        f"{quote(column)} = %s::{description.types[column]}" for column in table.key
    )
    columns = ", ".join(f"{quote(column)}::text" for column in table.columns)
    row = raw.execute(
        f"SELECT {columns} FROM {quote(table.name)} WHERE {where}",
        [to_text(value) for value in key],
    ).fetchone()
    return None if row is None else read_row(description, row)
