"""Corrections: row changes that are added so that a replay ends with the rows that are there.

A cascade or trigger may change a row while that row is being changed, and its change is then
captured first. Replayed in the captured order, the changes end with a row that differs from the
real one. That takes two changes of one key, so the rows of such keys are compared before the
commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from projections.sql.model import Change, RawText

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from projections.sql.model import CapturedTable, RowValues, TableDescription

Key: TypeAlias = "tuple[str, tuple[Any, ...]]"
"""A table's name and the values of a primary key."""


def with_corrections(
    changes: Iterable[Change],
    tables: Mapping[str, TableDescription],
    fetch: Callable[[CapturedTable, Sequence[Any]], RowValues | None],
) -> Iterator[Change]:
    """Yield the changes, then one correction for each row that they leave different.

    ``fetch`` returns the row that a table holds under a key, ``None`` where there is none.
    """
    seen: set[int] = set()
    # By key: a row that has it, and the row that the changes lead to.
    repeated: dict[Key, tuple[RowValues, RowValues | None]] = {}
    for change in changes:
        yield change
        table = tables[change.table].table
        results: dict[Key, tuple[RowValues, RowValues | None]] = {}
        if change.old is not None:
            results[_key(table, change.old)] = change.old, None
        if change.new is not None:
            results[_key(table, change.new)] = change.new, change.new
        for key, result in results.items():
            if hash(key) in seen:
                repeated[key] = result
            seen.add(hash(key))
    for key, (known, expected) in repeated.items():
        table = tables[key[0]].table
        actual = fetch(table, [known[column] for column in table.key])
        if actual is not None and _key(table, actual) != key:
            actual = None  # A collation compares the keys as equal: it is another key's row.
        if not _same_rows(expected, actual):
            yield _correction(table, known, expected, actual)


def _correction(
    table: CapturedTable,
    known: RowValues,
    expected: RowValues | None,
    actual: RowValues | None,
) -> Change:
    key = {column: known[column] for column in table.key}
    if actual is None:
        return Change(table.name, "delete", key, expected, None)
    return Change(table.name, "insert" if expected is None else "update", key, expected, actual)


def _key(table: CapturedTable, row: RowValues) -> Key:
    return table.name, tuple((type(row[column]) is RawText, row[column]) for column in table.key)


def _same_rows(one: RowValues | None, other: RowValues | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(same_value(value, other[column]) for column, value in one.items())


def same_value(one: object, other: object) -> bool:
    """Return True if two values are equal to the last bit, type included."""
    if isinstance(one, float) and isinstance(other, float):
        return one.hex() == other.hex()
    return type(one) is type(other) and one == other
