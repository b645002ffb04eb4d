"""One table of the database that a replay fills."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic

from projections.sql.model import TableT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from projections.sql.model import RowValues


class TargetTable(ABC, Generic[TableT]):
    """Inserts, updates and deletes rows exactly as they were recorded."""

    insert_clause: ClassVar[str] = ""
    """What stands between an INSERT's columns and its VALUES."""

    def __init__(self, raw: Any, description: TableT) -> None:
        self._raw = raw
        self._description = description
        self._table = description.table
        self._name = self._quote(self._table.name)
        self._columns = frozenset(self._table.columns)

    @staticmethod
    @abstractmethod
    def _quote(name: str) -> str:
        """Return an identifier as it stands in a statement with parameters."""

    @abstractmethod
    def _bind(
        self, columns: Iterable[str], values: Iterable[Any]
    ) -> tuple[Sequence[str], Sequence[Any]]:
        """Return a placeholder for each value, and the values as the driver takes them."""

    def _assignable(self, row: RowValues) -> RowValues:
        """Return the columns of a row that an UPDATE may assign."""
        return row

    def key_of(self, row: RowValues) -> list[Any]:
        """Return a row's primary key."""
        return [row[column] for column in self._table.key]

    def check(self, row: RowValues) -> None:
        """Raise LookupError unless a row has just the columns that are recorded of this table."""
        if row.keys() != self._columns:
            raise LookupError(f"a row of {self._table.name!r} with the columns {sorted(row)}"[:300])

    def insert(self, row: RowValues) -> None:
        """Insert a row."""
        names = ", ".join(map(self._quote, row))
        marks, values = self._bind(row, row.values())
        self._raw.execute(
            f"INSERT INTO {self._name} ({names}) {self.insert_clause} VALUES ({', '.join(marks)})",
            values,
        )

    def delete(self, key: Sequence[Any]) -> bool:
        """Delete the row with that key; return False where there is none."""
        where, values = self._where(key)
        count: int = self._raw.execute(f"DELETE FROM {self._name} WHERE {where}", values).rowcount
        return count == 1

    def update(self, key: Sequence[Any], row: RowValues) -> bool:
        """Replace the values of the row with that key; return False where there is none."""
        given = self._assignable(row)
        assigned, values = self._equations(given, given.values())
        where, key_values = self._where(key)
        count: int = self._raw.execute(
            f"UPDATE {self._name} SET {', '.join(assigned)} WHERE {where}",
            [*values, *key_values],
        ).rowcount
        return count == 1

    def _where(self, key: Sequence[Any]) -> tuple[str, Sequence[Any]]:
        equations, values = self._equations(self._table.key, key)
        return " AND ".join(equations), values

    def _equations(
        self, columns: Collection[str], values: Iterable[Any]
    ) -> tuple[list[str], Sequence[Any]]:
        marks, bound = self._bind(columns, values)
        names = map(self._quote, columns)
        return [f"{name} = {mark}" for name, mark in zip(names, marks, strict=True)], bound
