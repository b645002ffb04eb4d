"""Seeing to it that a transaction's changes end where the tables do.

A cascade or trigger may change a row in the midst of that row's own change, and is captured
first. Read in order, the changes then end with a row that is not the real one. It takes two
changes of one key for that, so the rows of such keys are looked at before the commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from projections.sql.model import Change, RawText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from projections.sql.model import Row, Table

Key: TypeAlias = "tuple[str, tuple[Any, ...]]"


def settle(
    changes: Iterable[Change],
    tables: Mapping[str, Table],
    fetch: Callable[[Table, Sequence[Any]], Row | None],
) -> Iterator[Change]:
    """Yield changes, and after them those that lead to the rows as ``fetch`` finds them."""
    seen: set[int] = set()
    again: dict[Key, tuple[Row, Row | None]] = {}
    for change in changes:
        yield change
        table = tables[change.table]
        ends: dict[Key, tuple[Row, Row | None]] = {}
        if change.old is not None:
            ends[_key(table, change.old)] = change.old, None
        if change.new is not None:
            ends[_key(table, change.new)] = change.new, change.new
        for key, end in ends.items():
            if hash(key) in seen:
                again[key] = end
            seen.add(hash(key))
    for key, (known, row) in again.items():
        table = tables[key[0]]
        found = fetch(table, [known[column] for column in table.key])
        if found is not None and _key(table, found) != key:
            found = None  # The same to a collation: it is another key's.
        if not _equal(row, found):
            yield _correction(table, known, row, found)


def _correction(table: Table, known: Row, row: Row | None, found: Row | None) -> Change:
    key = {column: known[column] for column in table.key}
    if found is None:
        return Change(table.name, "delete", key, row, None)
    return Change(table.name, "insert" if row is None else "update", key, row, found)


def _key(table: Table, row: Row) -> Key:
    return table.name, tuple((type(row[column]) is RawText, row[column]) for column in table.key)


def _equal(one: Row | None, other: Row | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(same(value, other[column]) for column, value in one.items())


def same(one: object, other: object) -> bool:
    """Whether two values are the same to the last bit, type included."""
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and one == other
