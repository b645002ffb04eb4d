"""The values of one key of metadata as columns that sort as the values do, on each database.

They are read from the JSON of the registration, so that sorting needs no table of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, Integer, Numeric, Text, case, func, literal, select
from sqlalchemy.dialects.postgresql import JSON

if TYPE_CHECKING:
    from collections.abc import Callable

_RANKS: Final = {
    "boolean": 0, "false": 0, "true": 0,
    "number": 1, "integer": 1, "real": 1,
    "string": 2, "text": 2,
    "array": 3,
    "object": 4,
}  # fmt: skip
"""The order of values of different types, by the databases' names of the types. Null has none."""


def metadata_order(body: ColumnElement[Any], name: str, dialect: str) -> list[ColumnElement[Any]]:
    """Return what to sort by: the type, NULL for null and a missing key; a number; a text."""
    # No text in a database's JSON may hold NUL: it becomes U+0001 twice, and U+0001 another pair.
    pairs = (("\1", "\1\2", r"\u0001", r"\u0001\u0002"), ("\0", "\1\1", r"\u0000", r"\u0001\u0001"))
    for plain, code, escaped, escaped_code in pairs:
        name = name.replace(plain, code)
        body = func.replace(body, escaped, escaped_code)
    return _ORDERS[dialect](body, name)


def _on_sqlite(body: ColumnElement[Any], name: str) -> list[ColumnElement[Any]]:
    each = func.json_each(body, "$.metadata").table_valued("key", "type", "atom", "value").c

    def found(column: ColumnElement[Any]) -> ColumnElement[Any]:
        return select(column).where(each.key == name).scalar_subquery()

    number = case(dict.fromkeys(("integer", "real", "true", "false"), each.atom), value=each.type)
    text = case(dict.fromkeys(("text", "array", "object"), each.value), value=each.type)
    return [
        found(case(_RANKS, value=each.type)),
        found(number),
        found(text),
    ]


def _on_postgresql(body: ColumnElement[Any], name: str) -> list[ColumnElement[Any]]:
    # As json: jsonb would change numbers.
    value = func.json_extract_path(
        body.cast(JSON), literal("metadata", Text), literal(name, Text), type_=JSON
    )
    kind, written = func.json_typeof(value), value.cast(Text)
    truth = case((written == "true", 1), else_=0)
    number = case({"number": written.cast(Numeric), "boolean": truth.cast(Numeric)}, value=kind)
    plain = func.json_extract_path_text(
        body.cast(JSON), literal("metadata", Text), literal(name, Text), type_=Text
    )
    text = case({"string": plain, "array": written, "object": written}, value=kind)
    return [case(_RANKS, value=kind).cast(Integer), number, text.collate("C")]


_ORDERS: Final[dict[str, Callable[[ColumnElement[Any], str], list[ColumnElement[Any]]]]] = {
    "sqlite": _on_sqlite,
    "postgresql": _on_postgresql,
}
