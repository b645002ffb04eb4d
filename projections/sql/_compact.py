"""Many changed rows as one ``RowsChanged`` event: rows as arrays, beside one list of columns.

``{"part": 1, "tables": [{"name": …, "columns": […], "key": [0]}], "rows": [[0, value, …], …]}``:
a row begins with its place in ``tables``, which has an entry for each table and kind of change,
with ``"op"`` unless that is ``insert``; ``key`` has places in ``columns``. The values of an update
are those of the old row, then those of the new one. Values are those that JSON has a type for.
Where a row has another, or is changed twice, or there are few rows, changes are written one by one,
which version 0.1.0 reads too. There is a ``"changes"`` as well, :data:`NOT_FOR_0_1_0`.
"""

from __future__ import annotations

from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore import NewEvent
from eventstore.errors import CorruptEventError
from eventstore.log.events import JSON_CONTENT
from projections.sql.model import Change, Op

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore import Event
    from projections.sql.model import CapturedTable

    Row = Sequence[Any]

MANY_ROWS: Final = 100
"""Fewer rows are written as changes, one by one."""

_PLAIN: Final = frozenset({int, str, float, bool, type(None)})
_encode: Final = msgspec.json.Encoder().encode


NOT_FOR_0_1_0: Final = {
    "table": "",
    "op": "insert",
    "key": {"": {"$real": "many rows are not for version 0.1.0: use a later one"}},
    "old": None,
    "new": {},
}
"""What version 0.1.0 reads instead of the rows: a number that is none, which its error quotes.

Without it the error is the name of a member, and no position.
"""


class CompactTable(msgspec.Struct, omit_defaults=True):
    """A table of the rows: its columns, the places of those of its key, and what was done."""

    name: str
    columns: list[str]
    key: list[int]
    op: Op = "insert"

    def __post_init__(self) -> None:
        """Check that the names and places fit."""
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"table {self.name!r:.60} has columns of one name")
        if not all(0 <= place < len(self.columns) for place in self.key):
            raise ValueError(f"table {self.name!r:.60} has a key of other columns")

    def change(self, values: Sequence[Any]) -> Change:
        """Return the change of a row of these values."""
        count = len(self.columns)
        first = dict(zip(self.columns, values[:count], strict=True))
        rest = values[count:]
        second = dict(zip(self.columns, rest, strict=True)) if self.op == "update" else None
        if second is None and rest:
            raise ValueError("a row of more values than there are columns")
        key = {self.columns[place]: values[place] for place in self.key}
        if self.op == "insert":
            return Change(self.name, self.op, key, None, first)
        return Change(self.name, self.op, key, first, second)


def compact_table(table: CapturedTable, op: Op) -> CompactTable:
    """Return what an event says of the rows of a table with which this was done."""
    key = [table.columns.index(column) for column in table.key]
    return CompactTable(table.name, list(table.columns), key, op)


def encode_rows(rows: Sequence[Row]) -> bytes | None:
    """Return rows as JSON, without the brackets around them; None where JSON lacks a value."""
    values = list(chain.from_iterable(rows))
    kinds = set(map(type, values))
    if not kinds <= _PLAIN:
        return None
    if float in kinds:
        # Their sum is finite where all are, unless it overflows.
        floats = [value for value in values if type(value) is float]
        if not isfinite(sum(floats)) and not all(map(isfinite, floats)):
            return None
    return _encode(rows)[1:-1]


def compact_event(
    kind: str, number: int, tables: list[CompactTable], texts: list[bytes]
) -> NewEvent:
    """Return the event of rows that :func:`encode_rows` has encoded."""
    head = b'{"part":%d,"changes":[%s],"tables":%s,"rows":[' % (
        number,
        _encode(NOT_FOR_0_1_0),
        _encode(tables),
    )
    event = NewEvent(kind, b"".join([head, b",".join(texts), b"]}"]))
    # It is JSON, and exact: nothing has to be decoded and compared for it.
    event.content = JSON_CONTENT
    return event


def read_compact(event: Event, tables: Sequence[CompactTable], rows: Sequence[Row]) -> list[Change]:
    """Return the row changes of such an event. Raises CorruptEventError."""
    try:
        return list(_read_all(tables, rows))
    except (IndexError, TypeError, ValueError) as error:
        raise CorruptEventError("log", event.position, f"no change of a row: {error!r}") from error


def _read_all(tables: Sequence[CompactTable], rows: Sequence[Row]) -> Iterator[Change]:
    for place, *values in rows:
        if type(place) is not int or place < 0 or dict in map(type, values):
            raise ValueError("a row without a table, or with a value that is none")
        yield tables[place].change(values)
