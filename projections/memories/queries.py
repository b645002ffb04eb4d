"""Questions that the store of memories asks of its table, as SQL for the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.storage.driver import Query

LIST_IDS: Final[Query] = ("SELECT id FROM memory ORDER BY id", ())
COUNT: Final[Query] = ("SELECT count(*) FROM memory", ())

_FIND: Final = "SELECT memory, version FROM memory WHERE id = ?"
_HAS: Final = "SELECT version FROM memory WHERE id = ?"

# One parameter, however many ids there are; an id has no comma in it.
_FIND_MANY: Final = {
    "sqlite": "SELECT id, memory FROM memory WHERE id IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT id, memory FROM memory "
    "WHERE id = ANY(string_to_array(CAST(? AS text), ','))",
}


def find(memory_id: str) -> Query:
    """Ask for one memory, as JSON text, and the version of its stream at which it was stored."""
    return _FIND, (memory_id,)


def find_many(dialect: str, ids: Sequence[str]) -> Query:
    """Ask for the stored ones of these memories, each id with JSON text, in one query."""
    given = ",".join(ids) if dialect == "postgresql" else msgspec.json.encode(ids).decode()
    return _FIND_MANY[dialect], (given,)


def has(memory_id: str) -> Query:
    """Ask whether the memory is stored: a row where it is."""
    return _HAS, (memory_id,)
