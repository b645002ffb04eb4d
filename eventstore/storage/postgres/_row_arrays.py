"""Rows of a table as one parameter: an array of its row type, in PostgreSQL's binary format.

One parameter of a statement that is always the same takes any number of rows. As many parameters
as the rows have values would be another statement for each number of rows, and 64 rows take the
client and the server twice the time.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from psycopg.adapt import Dumper
from psycopg.pq import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from psycopg import Connection

_ARRAY: Final = Struct("!iiIii")
"""Dimensions, whether there are NULLs, type of the elements, their number, the first's index."""
_ROW: Final = Struct("!ii")
"""Bytes that follow, number of columns."""
_VALUE: Final = Struct("!Ii")
"""Type, bytes that follow."""
_INT2: Final = Struct("!Iih")
_INT8: Final = Struct("!Iiq")


def _bytes(value: bytes) -> bytes:
    return _VALUE.pack(17, len(value)) + value


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _VALUE.pack(25, len(encoded)) + encoded


TYPES: Final[Mapping[str, tuple[int, Callable[[Any], bytes]]]] = {
    "bytea": (17, _bytes),
    "int8": (20, lambda value: _INT8.pack(20, 8, value)),
    "int2": (21, lambda value: _INT2.pack(21, 2, value)),
    "text": (25, _text),
}
"""The number that the server knows a type by, and what encodes a value of it with both."""

_READ: Final = """
SELECT c.reltype::pg_catalog.int8, a.attname::pg_catalog.text, a.atttypid::pg_catalog.int8
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%s) AND a.attnum > 0 ORDER BY a.attnum
"""


class RowType(NamedTuple):
    """The row type of a table, whose columns are of :data:`TYPES`."""

    number: int
    columns: Sequence[str]
    """The types of the columns, in the table's order."""

    def array(self, rows: Iterable[Sequence[Any]]) -> RowArray:
        """Encode rows without NULLs, at least one, with their values in the table's order."""
        encoders = [TYPES[name][1] for name in self.columns]
        encoded: list[bytes] = []
        for row in rows:
            body = b"".join([encode(value) for encode, value in zip(encoders, row, strict=True)])
            encoded += (_ROW.pack(len(body) + 4, len(encoders)), body)
        head = _ARRAY.pack(1, 0, self.number, len(encoded) // 2, 1)
        return RowArray(b"".join((head, *encoded)))


class RowArray(NamedTuple):
    """An encoded array; :func:`read_row_type` lets a session take it as a parameter."""

    encoded: bytes


class _RowArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: RowArray) -> bytes:
        return obj.encoded


def read_row_type(
    session: Connection[Any], table: str, columns: Mapping[str, str]
) -> RowType | None:
    """Return the row type of ``table``; ``None`` unless it has exactly these columns.

    ``columns`` gives each one's type, in their order.
    """
    rows = session.execute(_READ, (table,), prepare=False).fetchall()
    found = [(name, kind) for _, name, kind in rows]
    if found != [(name, TYPES[kind][0]) for name, kind in columns.items()]:
        return None
    session.adapters.register_dumper(RowArray, _RowArrayDumper)
    return RowType(rows[0][0], [*columns.values()])
