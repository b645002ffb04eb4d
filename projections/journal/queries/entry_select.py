"""The SQL statements of a search for entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, or_, select, tuple_

from projections.journal.columns import fold, meta_key, to_column
from projections.journal.tables.schema import entry_table, meta_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, FromClause

    from projections.journal.search import MetaFilter, Search


def _has_value(table: FromClause, wanted: MetaFilter) -> ColumnElement[bool]:
    at = table.c
    return or_(
        *(
            (at.value == value)
            if is_text is None
            else (at.value == value) & (at.is_text == is_text)
            for value, is_text in wanted.values
        )
    )


class EntrySelect:
    """Builds the statements of one search.

    It starts from the table of metadata where the search asks for any, and joins entries only
    where it needs their columns.
    """

    def __init__(
        self,
        connection: Connection,
        search: Search,
        project_id: int,
        as_of: int | None,
        below: tuple[int, int] | None = None,
    ) -> None:
        entry = entry_table.c
        self._conditions: list[ColumnElement[bool]] = []
        self._source: FromClause = entry_table
        self.ts_us, self.position, owner = entry.ts_us, entry.position, entry.project_id
        self._joined = True
        joined = [one for one in search.meta if one.path is None and len(one.values) == 1]
        for number, wanted in enumerate(joined):
            table = meta_table.alias(f"meta{number}")
            at = table.c
            if number == 0:
                self._source, self._joined = table, False
                self.ts_us, self.position, owner = at.ts_us, at.position, at.project_id
            else:
                self._source = self._source.join(
                    table, (at.ts_us == self.ts_us) & (at.position == self.position)
                )
            self._conditions += [at.project_id == project_id, at.key == wanted.key]
            self._conditions.append(_has_value(table, wanted))
        if not joined:
            self._conditions.append(owner == project_id)
        for wanted in search.meta:
            if wanted not in joined:
                self._conditions.append(self._among(wanted, project_id))
        self._limit_keys(search, as_of, below)
        if search.agents or search.emojis or search.message is not None:
            self._join()
        self._limit_entries(connection, search)

    def _among(self, wanted: MetaFilter, project_id: int) -> ColumnElement[bool]:
        """Return that an entry has one of several values, or may have one inside an object."""
        at = meta_table.c
        found = (at.key == wanted.key) & _has_value(meta_table, wanted)
        if wanted.path is not None:
            first = meta_key(wanted.path.partition(".")[0])
            found |= (at.key == first) & (at.is_text == 0)
        return self.position.in_(select(at.position).where(at.project_id == project_id, found))

    def _limit_keys(self, search: Search, as_of: int | None, below: tuple[int, int] | None) -> None:
        limits = self._conditions
        if search.start_us is not None:
            limits.append(self.ts_us >= search.start_us)
        if search.end_us is not None:
            limits.append(self.ts_us <= search.end_us)
        if as_of is not None:
            limits.append(self.position <= as_of)
        if below is not None:
            limits.append(tuple_(self.ts_us, self.position) < tuple_(*below))

    def _limit_entries(self, connection: Connection, search: Search) -> None:
        entry = entry_table.c
        for column, values in ((entry.agent, search.agents), (entry.emoji, search.emojis)):
            if len(values) == 1:
                self._conditions.append(column == values[0])
            elif values:
                self._conditions.append(column.in_(values))
        if search.message is None or search.mode == "regex":
            return
        column = entry.message if search.case_sensitive else entry.folded
        text = to_column(search.message) if search.case_sensitive else fold(search.message)
        if search.mode == "exact":
            self._conditions.append(column == text)
        else:
            within = func.instr if connection.dialect.name == "sqlite" else func.strpos
            self._conditions.append(within(column, text) > 0)

    def _join(self) -> None:
        if not self._joined:
            self._joined = True
            self._source = self._source.join(entry_table, entry_table.c.position == self.position)

    def count(self) -> Select[Any]:
        """Return the statement that counts."""
        return select(func.count()).select_from(self._source).where(*self._conditions)

    def select(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        """Return the statement that gives columns of entries, newest first."""
        self._join()
        return (
            select(*columns)
            .select_from(self._source)
            .where(*self._conditions)
            .order_by(self.ts_us.desc(), self.position.desc())
        )
