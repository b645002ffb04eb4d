"""Finding out whether many captured rows can be recorded without corrections."""

from __future__ import annotations

from array import array
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from projections.sql._corrections import same_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projections.sql._compact import CompactTable

    Row = Sequence[Any]


_PARTS: Final = 64
"""Parts of the keys' hashes, one of which at a time is made a set: it takes the most memory."""

_FIRST_CHECK: Final = 1_000
"""Keys after which they are compared, and again whenever there are twice as many."""


class RowsOnce:
    """Finds rows that are changed twice, and leaves out updates that change nothing.

    A row that is changed once needs no correction, nor do rows that were only inserted
    (:mod:`projections.sql._corrections`).
    """

    def __init__(self, tables: Sequence[CompactTable]) -> None:
        self._only_inserts = all(one.op == "insert" for one in tables)
        self._old_key = [_key_getter(one, 0) for one in tables]
        self._new_key = [_key_getter(one, len(one.columns)) for one in tables]
        self._columns = [len(one.columns) if one.op == "update" else 0 for one in tables]
        self._hashes = [array("q") for _ in range(_PARTS)]
        self._count, self._check_at = 0, _FIRST_CHECK

    def take(self, rows: Sequence[Row]) -> Sequence[Row] | None:
        """Return the rows of a page that were changed.

        ``None`` where one was found to be changed twice: :meth:`all_once` finds all of them.
        """
        if self._only_inserts:
            return rows
        kept = [row for row in rows if self._is_changed(row)] if any(self._columns) else rows
        for row in kept:
            for key in self._keys(row):
                self._count += 1
                self._hashes[(found := hash(key)) % _PARTS].append(found)
        if self._count >= self._check_at:
            self._check_at = 2 * self._count
            return kept if self.all_once() else None
        return kept

    def all_once(self) -> bool:
        """Return whether no row of all pages was changed twice."""
        return all(len(set(part)) == len(part) for part in self._hashes)

    def _is_changed(self, row: Row) -> bool:
        count = self._columns[row[0]]
        if not count:
            return True
        old, new = row[1 : count + 1], row[count + 1 :]
        return old != new or not all(map(same_value, old, new))

    def _keys(self, row: Row) -> tuple[Any, ...]:
        place = row[0]
        old = self._old_key[place](row)
        if not self._columns[place]:
            return (old,)
        new = self._new_key[place](row)
        return (old,) if new == old else (old, new)


def _key_getter(table: CompactTable, before: int) -> Callable[[Row], tuple[Any, ...]]:
    """Return what gives a row's key, with the table's name; ``before`` values come first."""
    name = table.name
    places = [1 + before + place for place in table.key]
    if len(places) == 1:
        (only,) = places
        return lambda row: (name, row[only])
    get = itemgetter(*places)
    return lambda row: (name, get(row))
