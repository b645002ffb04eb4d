"""The values of the seam: row changes, the tables that they belong to, and errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from eventstore.errors import EventStoreError
from projections.sql._identifiers import CAPTURE

if TYPE_CHECKING:
    from collections.abc import Mapping

Op: TypeAlias = Literal["insert", "update", "delete"]
RowValues: TypeAlias = "Mapping[str, Any]"
"""A row's values by column."""


class RawText(bytes):
    """A text as the database stores it: bytes that may not be UTF-8. A blob is plain ``bytes``."""

    __slots__ = ()


class Change(msgspec.Struct, frozen=True):
    """One row change. ``old`` and ``new`` are whole rows, by column; ``None`` where there is none.

    ``key`` is the primary key before the change; for an insert, the new one. Generated columns
    are left out: the database computes them from the others.
    """

    table: str
    op: Op
    key: Mapping[str, Any]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None


class CapturedTable(msgspec.Struct, frozen=True):
    """A captured table: its stored columns, in order, and those of its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


class TableDescription(Protocol):
    """What a database says of a table: ``table``, and details that only its dialect uses."""

    @property
    def table(self) -> CapturedTable:
        """What every dialect knows of a table."""


TableT = TypeVar("TableT", bound=TableDescription)


class SqlRefusedError(EventStoreError):
    """A statement is not allowed here, and did nothing. ``reason`` says what to do instead.

    ``name`` is the name that the statement may not use; empty where it is about something else.
    """

    def __init__(self, statement: str, reason: str, name: str = "") -> None:
        line = " ".join(statement.split())
        super().__init__(f"{line[:80]!r}: {reason}")
        self.statement, self.reason, self.name = statement, reason, name


class MigrationError(EventStoreError):
    """A migration was rolled back; ``name`` is the stem of its file."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"migration {name!r}: {reason}")
        self.name, self.reason = name, reason


class ReplayError(EventStoreError):
    """The log's row changes do not fit the tables; ``position`` is that of the failing event."""

    def __init__(self, position: int, reason: str) -> None:
        super().__init__(f"the tables cannot be computed past position {position}: {reason}")
        self.position, self.reason = position, reason


class ReservedNameError(ReplayError):
    """An event gives an object a ``name`` that programs could use until it was reserved.

    It came from version 0.1.0, or from a writer who has made it up: nothing is computed where the
    log is. ``reason`` says what to do.
    """

    def __init__(self, position: int, name: str) -> None:
        way = (
            f"'eventstore redact {position}' passes the event over, if its migration made nothing "
            "else that is needed"
            if name.startswith(CAPTURE)
            else "compute them in another database (eventstore rebuild sql --database URL), or "
            "first rename what is called so by a migration (ALTER TABLE … RENAME TO …)"
        )
        super().__init__(
            position,
            f"{name!r} is a name of the log's own, which version 0.1.0 left to programs. The "
            f"tables stay as they are; {way}",
        )
        self.name = name
