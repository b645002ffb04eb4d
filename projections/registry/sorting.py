"""The order of a list: what callers give as ``sort``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from eventstore.errors import InvalidInputError
from projections.registry.model import SORT_KEYS
from projections.seams.checks import check_text

METADATA: Final = "metadata."
"""Prefix of a sort by metadata."""

MAX_SORT_ENTRIES: Final = 16
_ORDERS: Final = {"asc": False, "ascending": False, "desc": True, "descending": True}


class SortEntry(NamedTuple):
    """One field to sort by: of a registration, or ``metadata.KEY``."""

    field: str
    descending: bool = False


def read_sort(sort: Any) -> tuple[SortEntry, ...]:
    """Return what to sort by; ``None`` is none.

    One entry or several: a field, ``-field``, ``(field, order)``, a mapping or an object with
    ``field`` and ``order``. An order is ``asc`` or ``desc``, as a text or a member of an
    enumeration. Raises InvalidInputError for anything else.
    """
    if sort is None:
        return ()
    if _is_entry(sort):
        return (_read_entry(sort),)
    if not isinstance(sort, Iterable):
        raise _unknown(sort)
    entries = tuple(_read_entry(one) for one in sort)
    if len(entries) > MAX_SORT_ENTRIES:
        raise InvalidInputError("sort", f"has {len(entries)} entries: give {MAX_SORT_ENTRIES}")
    return entries


def _is_entry(sort: Any) -> bool:
    if isinstance(sort, tuple) and not hasattr(sort, "field"):
        return len(sort) == 2 and _find_order(sort[1]) is not None
    return isinstance(sort, str | Mapping) or hasattr(sort, "field")


def _read_entry(entry: Any) -> SortEntry:
    order: Any = None
    if isinstance(entry, str):
        field: Any = entry.removeprefix("-")
        order = "desc" if entry.startswith("-") else "asc"
    elif isinstance(entry, Mapping):
        if set(entry) - {"field", "order"}:
            raise _unknown(entry)
        field, order = entry.get("field"), entry.get("order")
    elif hasattr(entry, "field"):
        field, order = entry.field, getattr(entry, "order", None)
    elif isinstance(entry, tuple | list) and len(entry) == 2:
        field, order = entry
    else:
        raise _unknown(entry)
    descending = False if order is None else _find_order(order)
    if descending is None:
        raise InvalidInputError("sort", f"the order {order!r:.80} is neither asc nor desc")
    return SortEntry(_check_field(field), descending)


def _find_order(order: Any) -> bool | None:
    """Return whether an order is descending; ``None`` for what is no order."""
    plain = order.value if isinstance(order, Enum) else order
    for text in (plain, order.name if isinstance(order, Enum) else None):
        if isinstance(text, str) and text.strip().lower() in _ORDERS:
            return _ORDERS[text.strip().lower()]
    return None


def _check_field(field: Any) -> str:
    plain = field.value if isinstance(field, Enum) else field
    if isinstance(plain, str) and (plain in SORT_KEYS or plain.startswith(METADATA)):
        return check_text("sort", plain)
    raise InvalidInputError(
        "sort", f"{field!r:.80} is none of {', '.join(SORT_KEYS)} and {METADATA}KEY"
    )


def _unknown(entry: Any) -> InvalidInputError:
    return InvalidInputError(
        "sort", f"{entry!r:.80} is no sort: give a field, (field, 'desc') or an object with both"
    )
