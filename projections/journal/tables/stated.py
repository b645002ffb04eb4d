"""What an entry or an assignment does to the tables, as SQL with its values.

It asks nothing: what depends on rows that are there, such as the number of a project, is in the
SQL itself. So an append sends it together with its own statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Integer,
    Text,
    bindparam,
    cast,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from projections.journal.columns import to_column
from projections.journal.tables.agents import UPSERT_ASSIGNMENT, assignment_row
from projections.journal.tables.entries import entry_row, field_values, meta_values
from projections.journal.tables.projects import COUNTS, counts_of
from projections.journal.tables.schema import (
    ENTRY_MORE,
    document_table,
    entry_table,
    meta_table,
    project_table,
)
from projections.tables.columns import json_text
from projections.tables.statements import Statement

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.storage.driver import Query
    from projections.journal.events import AssignmentData, EntryData

_entry: Final = entry_table.c
_ENTRY_COLUMNS: Final = [name for name in _entry.keys() if name != "project_id"]  # noqa: SIM118
_NEW_ENTRY: Final = select(
    project_table.c.id,
    *(bindparam(name, type_=_entry[name].type) for name in _ENTRY_COLUMNS),
).where(project_table.c.name == bindparam("project"))
_INSERT_ENTRY: Final = Statement(
    {
        dialect: kind(entry_table)
        .from_select(["project_id", *_ENTRY_COLUMNS], _NEW_ENTRY)
        .on_conflict_do_nothing(index_elements=["entry_id"])
        for dialect, kind in (("sqlite", sqlite.insert), ("postgresql", postgresql.insert))
    }
)
"""Inserts an entry, unless its project or another entry of its id says otherwise."""

_OF_EVENT: Final = _entry.position == bindparam("position")
_COUNT: Final = Statement(
    update(project_table)
    .where(project_table.c.name == bindparam("project"), exists().where(_OF_EVENT))
    .values({name: project_table.c[name] + bindparam(f"more_{name}") for name in COUNTS})
)
_INSERT_VALUE: Final = Statement(
    insert(meta_table).from_select(
        ["project_id", "key", "value", "ts_us", "position", "is_text"],
        select(
            _entry.project_id,
            cast(bindparam("key"), Text),
            cast(bindparam("value"), Text),
            _entry.ts_us,
            _entry.position,
            cast(bindparam("is_text"), Integer),
        ).where(_OF_EVENT),
    )
)
_INSERT_MORE: Final = Statement(
    insert(document_table).from_select(
        ["position", "project_id", "kind", "at_us", "json"],
        select(
            _entry.position,
            _entry.project_id,
            cast(bindparam("kind"), Text),
            cast(bindparam("at_us"), BigInteger),
            cast(bindparam("json"), Text),
        ).where(_OF_EVENT),
    )
)
_ASSIGN: Final = Statement(UPSERT_ASSIGNMENT.statements)


def insert_entry(dialect: str, event: Event, name: str, data: EntryData) -> list[Query]:
    """Return what inserts an entry into the project ``name``, with its metadata and counts."""
    project, position = to_column(name), event.position
    row: dict[str, Any] = entry_row(position, 0, data)
    counts = {f"more_{key}": more for key, more in counts_of([data.emoji]).items()}
    more = data.more
    queries: list[Query] = [
        _INSERT_ENTRY.ask(dialect, project=project, **row),
        _COUNT.ask(dialect, project=project, position=position, **counts),
    ]
    for key, value, is_text in (*meta_values(data.meta or {}), *field_values(more or {})):
        values = {"key": key, "value": value, "is_text": is_text, "position": position}
        queries.append(_INSERT_VALUE.ask(dialect, **values))
    if more is not None:
        document = {"kind": ENTRY_MORE, "at_us": event.recorded_us, "json": json_text(more)}
        queries.append(_INSERT_MORE.ask(dialect, position=position, **document))
    return queries


def assign(dialect: str, event: Event, agent_id: str, data: AssignmentData) -> list[Query]:
    """Return what sets the assignment of an agent."""
    return [_ASSIGN.ask(dialect, **assignment_row(event, agent_id, data))]
