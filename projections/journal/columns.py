r"""Text and metadata as the journal's tables hold them, the same on every database."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from projections.tables.columns import short_key

KEY_BYTES: Final = 400
"""A key or value of metadata that is longer is shown by its beginning and its hash: together
they are a key, which has to stay below the 2,704 bytes of PostgreSQL's indexes."""

_CODES: Final = {"\0": "\1\2\2", "\1": "\1\2\3", "\2": "\1\3\2", "\3": "\1\3\3"}
_PLAIN: Final = {code: plain for plain, code in _CODES.items()}
_SPECIAL: Final = re.compile("[\0-\3]")
_CODE: Final = re.compile("\1..")


def to_column(text: str) -> str:
    r"""Return any text as every database takes it: NUL characters fail on PostgreSQL.

    Each code begins with U+0001, which occurs nowhere else, so that one text contains another
    exactly where its column contains the other's.
    """
    return text if text.isprintable() else _SPECIAL.sub(lambda found: _CODES[found[0]], text)


def from_column(text: str) -> str:
    """Undo :func:`to_column`."""
    return text if "\1" not in text else _CODE.sub(lambda found: _PLAIN[found[0]], text)


def optional_to_column(text: str | None) -> str | None:
    """Return :func:`to_column` of a text, ``None`` for ``None``."""
    return None if text is None else to_column(text)


def optional_from_column(column: str | None) -> str | None:
    """Return :func:`from_column` of a column, ``None`` for ``None``."""
    return None if column is None else from_column(column)


def fold(text: str) -> str:
    """Return a text for comparing without regard to case, in the same way on every database."""
    return to_column(text.casefold())


def meta_key(text: str) -> str:
    """Return a text as part of an index: a long one by its beginning and its hash."""
    return short_key(to_column(text), KEY_BYTES, KEY_BYTES - 60)


def field_key(name: str) -> str:
    """Return the key of an entry's newer field among those of metadata, none of which is like it.

    U+0003 stands in no column but after U+0001: see :func:`to_column`.
    """
    return f"\3{name}"


def meta_value(value: object) -> tuple[str, int]:
    """Return a value of metadata as filters compare it, and 1 where it is a text itself.

    Any other value becomes JSON: equal numbers give the same text, keys are sorted.
    """
    if isinstance(value, str):
        return meta_key(value), 1
    return meta_key(msgspec.json.encode(_canonical(value), order="sorted").decode()), 0


def _canonical(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_canonical(one) for one in value]
    if isinstance(value, dict):
        return {key: _canonical(one) for key, one in value.items()}
    return value
