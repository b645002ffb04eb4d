"""Values as they are captured on PostgreSQL: texts that the server writes and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.sql.model import RowValues
    from projections.sql.postgres._schema import PostgresTable

_INTEGERS: Final = {"smallint", "integer", "bigint", "oid"}
_FLOATS: Final = {"real", "double precision"}

JSON_CASTS: Final = {
    **dict.fromkeys(_INTEGERS, "::pg_catalog.int8"),
    **dict.fromkeys(_FLOATS, "::pg_catalog.float8"),
    "boolean": "::pg_catalog.bool",
    "bytea": "::pg_catalog.bytea",
}
"""How a captured text is cast to be read as :func:`read_row` reads it."""


def read_row(description: PostgresTable, values: Sequence[str | None]) -> RowValues:
    """Return a row from its captured texts."""
    pairs = zip(description.table.columns, values, strict=True)
    return {
        column: None if value is None else _from_text(description.types[column], value)
        for column, value in pairs
    }


def _from_text(kind: str, value: str) -> Any:
    """Return numbers, booleans and bytes as such; values of other types stay texts."""
    if kind in _INTEGERS:
        return int(value)
    if kind in _FLOATS:
        return float(value)
    if kind == "boolean":
        return value == "true"
    if kind == "bytea":
        return bytes.fromhex(value.removeprefix("\\x"))
    return value


def to_text(value: Any) -> str | None:
    """Return the text from which PostgreSQL reads a captured value."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)
