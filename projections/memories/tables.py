r"""Memories as a table, which each append updates in its own transaction.

The column ``memory`` has the exact memory, as JSON text. The others are for queries in SQL:
free text shows NUL characters, which PostgreSQL refuses, as ``\u0000``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import (
    BigInteger,
    Float,
    MetaData,
    Table,
    delete,
    select,
)

from projections.memories.events import (
    MEMORIES,
    MEMORY_DELETED,
    MEMORY_STORED,
    read_data,
)
from projections.tables.columns import (
    ByteOrder,
    ByteOrderText,
    escape_nul,
    keys,
    optional,
    required,
)
from projections.tables.kept_tables import KeptTables
from projections.tables.upsert import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from eventstore.storage.driver import Query

_tables = MetaData()

memory_table: Final = Table(
    "memory",
    _tables,
    *keys(ByteOrder, "id"),
    *required(ByteOrder, "namespace", "status"),
    *optional(ByteOrderText, "project_id"),
    *required(Float, "created_at", "updated_at"),
    *optional(Float, "expires_at"),
    *required(ByteOrderText, "memory"),
    # Of the event that stored the memory.
    *required(BigInteger, "version", "position"),
)
"""The memories that are stored and not deleted."""


class MemoryTables(KeptTables):
    """The table ``memory``, as the log says.

    Inline with ``EventStore.open(url, inline=[MemoryTables()])``, followed in another
    database with ``MemoryTables().at(url)``.
    """

    name = "memories"
    metadata: ClassVar[MetaData] = _tables
    grouped = MEMORY_STORED

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Store memories."""
        if rows := [row for event in events if (row := _row(event)) is not None]:
            _UPSERT.execute(connection, rows)

    def statements(self, dialect: str, events: Sequence[Event]) -> list[Query]:  # noqa: ARG002
        """Return what stores and deletes these memories: of each what was done to it last."""
        latest: dict[str, dict[str, Any] | None] = {}
        for event in events:
            if (row := _row(event)) is not None:
                latest[event.stream] = row
            elif event.type == MEMORY_DELETED and event.stream.startswith(MEMORIES):
                latest[event.stream] = None
        gone = [stream.removeprefix(MEMORIES) for stream, row in latest.items() if row is None]
        rows = [row for row in latest.values() if row is not None]
        return [*((_DELETE, (key,)) for key in gone), *_UPSERT.queries(rows)]

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event; a memory whose content was redacted is as if deleted."""
        if not event.stream.startswith(MEMORIES):
            return
        if event.redacted or event.type == MEMORY_DELETED:
            key = event.stream.removeprefix(MEMORIES)
            connection.execute(delete(memory_table).where(memory_table.c.id == key))
        elif (row := _row(event)) is not None:
            _UPSERT.execute(connection, row)

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Take out the memory that the event stored; a later one stays.

        Where the event could not be read, so that an older memory is stored, the projection is
        emptied: without its content the event counts as a deletion.
        """
        if not stream.startswith(MEMORIES):
            return
        c = memory_table.c
        mine = c.id == stream.removeprefix(MEMORIES)
        row = connection.execute(select(c.position).where(mine)).scalar_one_or_none()
        if row == position:
            connection.execute(delete(memory_table).where(mine))
        elif row is not None and row < position:
            self.reset(connection)


_UPSERT: Final = Upsert(memory_table, ["id"])
_DELETE: Final = "DELETE FROM memory WHERE id = ?"


def _row(event: Event) -> dict[str, Any] | None:
    """Return the row of the memory that an event stores; ``None`` for any other event."""
    memory = read_data(event)
    return (
        None
        if memory is None
        else {
            "id": memory.id,
            "namespace": memory.namespace.value,
            "status": memory.status.value,
            "project_id": None if memory.project_id is None else escape_nul(memory.project_id),
            "created_at": float(memory.created_at),
            "updated_at": float(memory.updated_at),
            "expires_at": None if memory.expires_at is None else float(memory.expires_at),
            "memory": (event.raw_data or b"").decode(),
            "version": event.version,
            "position": event.position,
        }
    )
