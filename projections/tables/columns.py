"""Column types and values that mean the same in SQLite and in PostgreSQL."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import BigInteger, Column, Integer, String, Text

if TYPE_CHECKING:
    from typing import TypeAlias

    from sqlalchemy.types import TypeEngine

    Kind: TypeAlias = TypeEngine[Any] | type[TypeEngine[Any]]

ByteOrder: Final = String().with_variant(String(collation="C"), "postgresql")
ByteOrderText: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts the same in every database: by its bytes in UTF-8, as on SQLite."""

RowId: Final = BigInteger().with_variant(Integer, "sqlite")
"""A primary key of 64 bits. On SQLite only ``INTEGER PRIMARY KEY`` is the row's own number."""


def keys(kind: Kind, *names: str) -> list[Column[Any]]:
    """Return columns of the primary key, which callers fill: no database numbers them."""
    return [Column(name, kind, primary_key=True, autoincrement=False) for name in names]


def required(kind: Kind, *names: str) -> list[Column[Any]]:
    """Return columns that are ``NOT NULL``."""
    return [Column(name, kind, nullable=False) for name in names]


def optional(kind: Kind, *names: str) -> list[Column[Any]]:
    """Return columns that may hold ``NULL``."""
    return [Column(name, kind) for name in names]


def escape_nul(text: str) -> str:
    r"""Return ``text`` without NUL characters, which PostgreSQL refuses: as ``\u0000``.

    Different texts stay different, so keys do: a text that already shows the escape gets its
    backslashes doubled. Any other text stays as it is.
    """
    if "\0" not in text and "\\u0000" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\0", "\\u0000")


def storable(text: str) -> str:
    """Return ``text`` as every database takes it: without NUL characters and lone surrogates."""
    return escape_nul(text).encode(errors="backslashreplace").decode()


def short_key(key: str, limit: int, kept: int) -> str:
    """Return ``key``, or where it has more than ``limit`` bytes its beginning and its hash.

    The beginning has up to ``kept`` bytes of UTF-8, the SHA-256 64 digits. A key is part of an
    index, and PostgreSQL refuses entries of more than 2,704 bytes.
    """
    if len(raw := key.encode()) <= limit:
        return key
    return f"{raw[:kept].decode(errors='ignore')}…{sha256(raw).hexdigest()}"


def json_text(value: object) -> str:
    """Return a value as JSON, for a column of text."""
    return msgspec.json.encode(value).decode()
