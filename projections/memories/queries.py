"""Questions that the store of memories asks of its table; each is one snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from sqlalchemy import func, select, text

from projections.memories.tables import memory_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# One parameter, however many ids there are; an id has no comma in it.
_IN_IDS: Final = {
    "sqlite": text("id IN (SELECT value FROM json_each(:ids))"),
    "postgresql": text("id = ANY(string_to_array(CAST(:ids AS text), ','))"),
}


class Stored(NamedTuple):
    """A memory as JSON text, and the version of its stream at which it was stored."""

    memory: str
    version: int


def find(connection: Connection, memory_id: str) -> Stored | None:
    """Return one memory; ``None`` where there is none."""
    c = memory_table.c
    row = connection.execute(select(c.memory, c.version).where(c.id == memory_id)).one_or_none()
    return None if row is None else Stored(*row)


def find_many(connection: Connection, ids: Sequence[str]) -> dict[str, str]:
    """Return the stored ones of these memories, as JSON text by id, in one query."""
    c, dialect = memory_table.c, connection.dialect.name
    given = ",".join(ids) if dialect == "postgresql" else msgspec.json.encode(ids).decode()
    rows = connection.execute(select(c.id, c.memory).where(_IN_IDS[dialect]), {"ids": given})
    return {memory_id: memory for memory_id, memory in rows}  # noqa: C416 - rows are no pairs


def list_ids(connection: Connection) -> list[str]:
    """Return the ids of all memories, sorted."""
    return list(connection.execute(select(memory_table.c.id).order_by(memory_table.c.id)).scalars())


def has(connection: Connection, memory_id: str) -> bool:
    """Whether the memory is stored."""
    c = memory_table.c
    return connection.execute(select(c.version).where(c.id == memory_id)).first() is not None


def count(connection: Connection) -> int:
    """Return the number of memories."""
    return connection.execute(select(func.count()).select_from(memory_table)).scalar_one()
