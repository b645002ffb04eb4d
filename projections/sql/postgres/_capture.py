"""Capturing row changes on PostgreSQL: one trigger per table, which writes into one table.

Values are captured as the texts that PostgreSQL itself writes and reads. The capture table is
unlogged: its rows never outlive their transaction.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.storage.postgres.owners import check_owners
from projections.sql._capture import Capture
from projections.sql._corrections import same_value, with_corrections
from projections.sql._identifiers import CAPTURE, quote_name
from projections.sql.model import Change
from projections.sql.postgres._row_counts import COUNTED, Counts, read_counts
from projections.sql.postgres._schema import PostgresTable, quote_for_parameters
from projections.sql.postgres._triggers import (
    ROW_TRIGGER,
    TRUNCATE_TRIGGER,
    function_name,
    make_triggers,
)
from projections.sql.postgres._values import JSON_CASTS, read_row, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

    from projections.sql._compact import CompactTable
    from projections.sql.model import CapturedTable, Op, RowValues

_OPS: Final[dict[str, Op]] = {"INSERT": "insert", "UPDATE": "update", "DELETE": "delete"}

_BATCH: Final = 1000
"""Captured rows that are fetched at once."""

_PAGE: Final = 500
"""The same of rows that are encoded at once."""


_ROWS: Final = f"SELECT op, tbl, old, new FROM {CAPTURE} ORDER BY id"
_FIRST: Final = f"{_ROWS} LIMIT {_BATCH}"
_REST: Final = f"DECLARE {CAPTURE}_rows NO SCROLL CURSOR FOR {_ROWS} OFFSET {_BATCH}"
_RUN_DEFERRED: Final = "SET CONSTRAINTS ALL IMMEDIATE"
"""Deferred triggers may change rows: they run now."""
_VERSION: Final = (
    "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL, (SELECT oid FROM "
    f"pg_catalog.pg_trigger WHERE tgrelid = {{}}::oid AND tgname = '{ROW_TRIGGER}')"
)


class Written(NamedTuple):
    """What a transaction has done."""

    any: bool
    """True if it has written at all."""
    version: int | None
    """The number of the trigger on one captured table: migrations create all of them again."""
    counts: Counts


class PostgresCapture(Capture[PostgresTable]):
    """See :class:`Capture`. ``defer`` executes a statement together with the next one."""

    def __init__(self, raw: Any, defer: Callable[[str], object] | None = None) -> None:
        super().__init__(raw)
        self._defer = defer or raw.execute
        self._first: list[Any] | None = None
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

    def look(self, table: int) -> Written:
        """Return what the transaction has done, in one exchange, which reads its first changes.

        Without a captured ``table``, given by its number, there may be no changes to read.
        """
        with self._raw.pipeline():
            self._raw.execute(_RUN_DEFERRED)
            looked = self._raw.execute(f"{_VERSION.format(table)}, {COUNTED}")
            first = self._raw.execute(_FIRST) if table else None
        self._first = first.fetchall() if first else None
        any_, version, counts = looked.fetchone()
        return Written(any_, version, read_counts(counts))

    def look_version(self, table: int) -> int | None:
        """Return the version of :class:`Written`."""
        version: int | None = self._raw.execute(_VERSION.format(table)).fetchone()[1]
        return version

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

    def _has_many(self, least: int) -> bool:
        if self._first is None:
            self._raw.execute(_RUN_DEFERRED)
            self._first = self._raw.execute(_FIRST).fetchall()
        return len(self._first) >= least

    def _read_kinds(self) -> Sequence[tuple[str, Op]]:
        found = {(name, op) for op, name, _, _ in self._first or []}
        if len(self._first or []) == _BATCH:
            found = set(self._raw.execute(f"SELECT DISTINCT tbl, op FROM {CAPTURE}"))
        return [(name, _OPS[op]) for name, op in found]

    def _read_rows(
        self, kinds: Sequence[CompactTable], tables: Mapping[str, PostgresTable]
    ) -> Generator[Sequence[Sequence[Any]] | None, None, None]:
        if len(kinds) != 1:
            yield None  # Their columns have other types.
            return
        (one,) = kinds
        rows = {"insert": ["new"], "update": ["old", "new"], "delete": ["old"]}[one.op]
        # The server reads the texts, into what JSON has a kind for.
        values = "".join(
            f", {row}[{number}]{JSON_CASTS.get(kind, '')}"
            for row in rows
            for number, kind in enumerate(tables[one.name].types.values(), 1)
        )
        name = f"{CAPTURE}_compact"
        self._raw.execute(
            f"DECLARE {name} NO SCROLL CURSOR FOR SELECT 0{values} FROM {CAPTURE} ORDER BY id"
        )
        with suppress(GeneratorExit):  # Only a part of them may be wanted.
            while page := self._raw.execute(f"FETCH {_PAGE} FROM {name}").fetchall():
                yield page
        self._raw.execute(f"CLOSE {name}")

    def read_changes(self, tables: Mapping[str, PostgresTable]) -> Iterator[Change]:
        """Yield the transaction's row changes in order, corrections included."""

        def fetch(table: CapturedTable, key: Sequence[Any]) -> RowValues | None:
            return _fetch_row(self._raw, tables[table.name], key)

        yield from with_corrections(
            _read_captured(self._raw, self._first or [], tables), tables, fetch
        )

    def clear(self) -> None:
        """Delete what was captured, after :meth:`read_changes`."""
        self._defer(f"DELETE FROM {CAPTURE}")
        self._first = None


def _read_captured(
    raw: Any, first: list[Any], tables: Mapping[str, PostgresTable]
) -> Iterator[Change]:
    rows = first
    if len(first) == _BATCH:
        raw.execute(_REST)
    while rows:
        for op, name, old, new in rows:
            change = _make_change(_OPS[op], tables[name], old, new)
            if change is not None:
                yield change
        if len(first) < _BATCH:
            return
        rows = raw.execute(f"FETCH {_BATCH} FROM {CAPTURE}_rows").fetchall()
    if len(first) == _BATCH:
        raw.execute(f"CLOSE {CAPTURE}_rows")


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
