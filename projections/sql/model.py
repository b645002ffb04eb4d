"""The values of the seam: changes of rows, the tables they belong to, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

Op: TypeAlias = Literal["insert", "update", "delete"]
Row: TypeAlias = "Mapping[str, Any]"
"""A row's values by column."""

OWN_PREFIX: Final = "sql_capture"
"""What the names of the storage's own table and triggers begin with."""

LEDGER: Final = "schema_migrations"


class RawText(bytes):
    """A text as a database keeps it, in bytes that may be no UTF-8. A blob is plain ``bytes``."""

    __slots__ = ()


class Change(msgspec.Struct, frozen=True):
    """One row's change. ``old`` and ``new`` are whole rows, by column; absent is ``None``.

    ``key`` holds the primary key by which the row was known before; for an insert the new one.
    Generated columns are left out: they follow from the others.
    """

    table: str
    op: Op
    key: Mapping[str, Any]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


class Table(msgspec.Struct, frozen=True):
    """A captured table: its stored columns, in order, and those of its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


class SqlRefusedError(EventStoreError):
    """A statement that may not be run here; nothing of it was. ``reason`` says what to do."""

    def __init__(self, statement: str, reason: str) -> None:
        shown = " ".join(statement.split())
        super().__init__(f"{shown[:80]!r}: {reason}")
        self.statement = statement
        self.reason = reason


class MigrationError(EventStoreError):
    """A migration was not applied, and left nothing; ``name`` is its file's stem."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"migration {name!r}: {reason}")
        self.name = name
        self.reason = reason


class ReplayError(EventStoreError):
    """The log's changes do not lead to these tables; ``position`` is where that showed."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"the tables cannot be computed past position {position}: {reason}")
        self.position = position
        self.reason = reason
