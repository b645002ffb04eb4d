"""Many inserted rows as one ``RowsChanged`` event: rows as arrays, beside one list of columns.

``{"part": 1, "tables": [{"name": …, "columns": […], "key": [0]}], "rows": [[0, value, …], …]}``:
a row begins with its table's place in ``tables``, and ``key`` has places in ``columns``. Values are
those that JSON has a type for. Where a row has another, or a change is no insert, or there are few
rows, changes are written one by one, which version 0.1.0 reads too.
"""

from __future__ import annotations

from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore import NewEvent
from eventstore.errors import CorruptEventError
from eventstore.log.events import JSON_CONTENT
from projections.sql.model import Change

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore import Event
    from projections.sql.model import CapturedTable

MANY_ROWS: Final = 100
"""Fewer rows are written as changes, one by one."""

_PLAIN: Final = frozenset({int, str, float, bool, type(None)})
_encode: Final = msgspec.json.Encoder().encode


class CompactTable(msgspec.Struct):
    """A table of the rows: its columns, and the places of those of its key."""

    name: str
    columns: list[str]
    key: list[int]

    def __post_init__(self) -> None:
        """Check that the names and places fit."""
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"table {self.name!r:.60} has columns of one name")
        if not all(0 <= place < len(self.columns) for place in self.key):
            raise ValueError(f"table {self.name!r:.60} has a key of other columns")


def compact_table(table: CapturedTable) -> CompactTable:
    """Return what an event says of a table."""
    return CompactTable(
        table.name, list(table.columns), [table.columns.index(column) for column in table.key]
    )


def encode_rows(rows: Sequence[Sequence[Any]]) -> bytes | None:
    """Return rows as JSON, without the brackets around them; None where JSON lacks a value."""
    values = list(chain.from_iterable(rows))
    kinds = set(map(type, values))
    if not kinds <= _PLAIN:
        return None
    if float in kinds and not all(map(isfinite, (v for v in values if type(v) is float))):
        return None
    return _encode(rows)[1:-1]


def compact_event(
    kind: str, number: int, tables: list[CompactTable], texts: list[bytes]
) -> NewEvent:
    """Return the event of rows that :func:`encode_rows` has encoded."""
    head = b'{"part":%d,"tables":%s,"rows":[' % (number, _encode(tables))
    event = NewEvent(kind, b"".join([head, b",".join(texts), b"]}"]))
    # It is JSON, and exact: nothing has to be decoded and compared for it.
    event.content = JSON_CONTENT
    return event


def read_compact(
    event: Event, tables: Sequence[CompactTable], rows: Sequence[Sequence[Any]]
) -> list[Change]:
    """Return the row changes of such an event. Raises CorruptEventError."""
    try:
        return list(_read_all(tables, rows))
    except (IndexError, TypeError, ValueError) as error:
        raise CorruptEventError("log", event.position, f"no inserted row: {error!r}") from error


def _read_all(tables: Sequence[CompactTable], rows: Sequence[Sequence[Any]]) -> Iterator[Change]:
    for place, *values in rows:
        if type(place) is not int or place < 0 or dict in map(type, values):
            raise ValueError("a row without a table, or with a value that is none")
        table = tables[place]
        row = dict(zip(table.columns, values, strict=True))
        key = {table.columns[number]: values[number] for number in table.key}
        yield Change(table.name, "insert", key, None, row)
