r"""Memories as a table, kept up to date by each append, and the questions asked of it.

The column ``memory`` has the exact memory, as JSON text. The others are for whoever asks in
SQL: free text shows NUL characters, which PostgreSQL refuses, as ``\u0000``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    MetaData,
    Table,
    delete,
    func,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite

from projections.memories.events import (
    MEMORIES,
    MEMORY_DELETED,
    MEMORY_STORED,
    read_memory,
)
from projections.tables.columns import ByteOrder, ByteOrderText, escape_nul
from projections.tables.projection import TableProjection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from projections.memories.model import Memory

_tables = MetaData()

memory_table: Final = Table(
    "memory",
    _tables,
    Column("id", ByteOrder, primary_key=True),
    Column("namespace", ByteOrder, nullable=False),
    Column("status", ByteOrder, nullable=False),
    Column("project_id", ByteOrderText),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("memory", ByteOrderText, nullable=False),
    # Where the memory's stream and the log were when it was stored.
    Column("version", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""The memories that are stored and not deleted."""

# One parameter, however many ids there are; an id has no comma in it.
_AMONG: Final = {
    "sqlite": text("id IN (SELECT value FROM json_each(:ids))"),
    "postgresql": text("id = ANY(string_to_array(CAST(:ids AS text), ','))"),
}


class Stored(NamedTuple):
    """A memory as JSON text, and the version of its stream that says so."""

    memory: str
    version: int


class MemoryTables(TableProjection):
    """The table ``memory``, as the log says.

    Inline with ``EventStore.open(url, inline=[MemoryTables()])``, followed in another
    database with ``MemoryTables().at(url)``.
    """

    name = "memories"
    metadata: ClassVar[MetaData] = _tables
    takes_redacted = True

    def group(self, event: Event) -> str | None:
        """Take memories that are stored together."""
        return "stored" if event.type == MEMORY_STORED else None

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Store memories."""
        found = [(event, read_memory(event)) for event in events]
        _upsert(connection, [(event, memory) for event, memory in found if memory is not None])

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event; a memory whose content was redacted is as if deleted."""
        if not event.stream.startswith(MEMORIES):
            return
        if event.redacted or event.type == MEMORY_DELETED:
            key = event.stream.removeprefix(MEMORIES)
            connection.execute(delete(memory_table).where(memory_table.c.id == key))
        elif event.type == MEMORY_STORED and (memory := read_memory(event)) is not None:
            _upsert(connection, [(event, memory)])

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Take out the memory that the event stored; a later one stays.

        Where the event was of no use, so that an older memory still stands, all is computed
        anew: without its content it counts as a deletion.
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


# Made once: a statement that is made for each event costs several times what it does.
_UPSERT: Final = {
    name: (made := dialect.insert(memory_table)).on_conflict_do_update(
        index_elements=["id"],
        set_={c.name: made.excluded[c.name] for c in memory_table.c if c.name != "id"},
    )
    for name, dialect in {"sqlite": sqlite, "postgresql": postgresql}.items()
}


def _upsert(connection: Connection, stored: Sequence[tuple[Event, Memory]]) -> None:
    """Store memories in order; of several with one id the last one stays."""
    if stored:
        rows = [_row(event, memory) for event, memory in stored]
        connection.execute(_UPSERT[connection.dialect.name], rows)


def _row(event: Event, memory: Memory) -> dict[str, Any]:
    return {
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


def find(connection: Connection, memory_id: str) -> Stored | None:
    """Return one memory; ``None`` where there is none."""
    c = memory_table.c
    row = connection.execute(select(c.memory, c.version).where(c.id == memory_id)).one_or_none()
    return None if row is None else Stored(*row)


def find_many(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return those of these memories that are there, as JSON text by id, in one query."""
    c, dialect = memory_table.c, connection.dialect.name
    given = ",".join(ids) if dialect == "postgresql" else msgspec.json.encode(ids).decode()
    rows = connection.execute(select(c.id, c.memory).where(_AMONG[dialect]), {"ids": given})
    return {memory_id: memory for memory_id, memory in rows}  # noqa: C416 - rows are no pairs


def list_ids(connection: Connection) -> list[str]:
    """Return the ids of all memories, sorted."""
    return list(connection.execute(select(memory_table.c.id).order_by(memory_table.c.id)).scalars())


def has(connection: Connection, memory_id: str) -> bool:
    """Whether there is such a memory."""
    c = memory_table.c
    return connection.execute(select(c.version).where(c.id == memory_id)).first() is not None


def count(connection: Connection) -> int:
    """Return how many memories there are."""
    return connection.execute(select(func.count()).select_from(memory_table)).scalar_one()
