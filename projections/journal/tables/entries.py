"""Rows of entries and of their metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import delete, insert, select, update

from projections.journal.columns import (
    field_key,
    fold,
    from_column,
    meta_key,
    meta_value,
    optional_to_column,
    to_column,
)
from projections.journal.events import MORE_FIELDS
from projections.journal.tables.projects import count_entries, find_project_id
from projections.journal.tables.schema import (
    ENTRY_META,
    ENTRY_MORE,
    document_table,
    entry_table,
    meta_table,
)
from projections.tables.columns import json_text
from projections.tables.upsert import InsertIfAbsent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from projections.journal.events import EntryData, EntryMetaData

_INSERT_ENTRY: Final = InsertIfAbsent(entry_table, ["entry_id"], returning=entry_table.c.position)
_INSERT_META: Final = insert(meta_table)
_INSERT_DOCUMENT: Final = insert(document_table)


def insert_entries(
    connection: Connection, name: str, entries: Sequence[tuple[Event, EntryData]]
) -> None:
    """Insert entries of one project; an entry whose id is known is ignored."""
    if (project_id := find_project_id(connection, name)) is None:
        return
    rows = [entry_row(event.position, project_id, data) for event, data in entries]
    done = _INSERT_ENTRY.execute(connection, rows)
    fresh = set(done.scalars())
    new = [(row, data) for row, (_, data) in zip(rows, entries, strict=True)]
    new = [(row, data) for row, data in new if row["position"] in fresh]
    count_entries(connection, name, [data.emoji for _, data in new])
    found = [one for row, data in new for one in _value_rows(row, meta_values(data.meta or {}))]
    more = [(row, data.more) for row, data in new if data.more is not None]
    if found := found + [
        one for row, fields in more for one in _value_rows(row, field_values(fields))
    ]:
        connection.execute(_INSERT_META, found)
    if more:
        at = {event.position: event.recorded_us for event, _ in entries}
        connection.execute(
            _INSERT_DOCUMENT,
            [
                document_row(row["position"], project_id, ENTRY_MORE, at[row["position"]], fields)
                for row, fields in more
            ],
        )


def set_meta(connection: Connection, event: Event, name: str, data: EntryMetaData) -> None:
    """Replace the metadata of an entry; ignore an unknown one."""
    entry, meta = entry_table.c, meta_table.c
    project_id = find_project_id(connection, name)
    row = connection.execute(
        select(entry.position, entry.ts_us, entry.meta).where(
            entry.entry_id == to_column(data.entry_id), entry.project_id == project_id
        )
    ).first()
    if row is None or project_id is None:
        return
    connection.execute(
        update(entry_table).where(entry.position == row.position).values(meta=json_text(data.meta))
    )
    keys = [meta_key(key) for key in msgspec.json.decode(row.meta or "{}")]
    of_entry = (meta.project_id == project_id, meta.position == row.position)
    connection.execute(delete(meta_table).where(meta.key.in_(keys), *of_entry))
    shared = {"project_id": project_id, "ts_us": row.ts_us, "position": row.position}
    if rows := _value_rows(shared, meta_values(data.meta)):
        connection.execute(_INSERT_META, rows)
    note = {"entry": row.position}
    connection.execute(
        _INSERT_DOCUMENT,
        document_row(event.position, project_id, ENTRY_META, event.recorded_us, note),
    )


def document_row(
    position: int, project_id: int, kind: str, at_us: int, value: object
) -> dict[str, Any]:
    """Return a row of the table of documents."""
    row = {"position": position, "project_id": project_id, "kind": kind, "at_us": at_us}
    return {**row, "json": json_text(value)}


def delete_entry(connection: Connection, position: int, name: str) -> bool:
    """Delete the entry that the event at ``position`` inserted; False where there is none."""
    entry, meta = entry_table.c, meta_table.c
    row = connection.execute(
        delete(entry_table)
        .where(entry.position == position)
        .returning(entry.project_id, entry.emoji, entry.meta)
    ).first()
    if row is None:
        return False
    count_entries(connection, name, [row.emoji and from_column(row.emoji)], by=-1)
    keys = [meta_key(key) for key in msgspec.json.decode(row.meta or "{}")]
    keys += [field_key(name) for name in MORE_FIELDS]
    of_entry = (meta.project_id == row.project_id, meta.position == position)
    connection.execute(delete(meta_table).where(meta.key.in_(keys), *of_entry))
    connection.execute(delete(document_table).where(document_table.c.position == position))
    return True


def entry_row(position: int, project_id: int, data: EntryData) -> dict[str, Any]:
    """Return the row of an entry."""
    return {
        "position": position,
        "project_id": project_id,
        "ts_us": data.ts_us,
        "agent": optional_to_column(data.agent),
        "emoji": optional_to_column(data.emoji),
        "folded": fold(data.message),
        "message": to_column(data.message),
        "entry_id": to_column(data.entry_id),
        "ts": to_column(data.ts),
        "meta": None if data.meta is None else json_text(data.meta),
        "raw_line": to_column(data.raw_line),
    }


def field_values(more: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Yield each value of the newer fields with its key; a list of tags gives each tag."""
    for name, value in more.items():
        values = [value, *value] if isinstance(value, list) else [value]
        found = {meta_value(one) for one in values if one is not None}
        for text, is_text in dict(found).items():
            yield field_key(name), text, is_text


def meta_values(meta: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """Yield each key of metadata with its value, and 1 where that is a text."""
    for key, value in meta.items():
        yield meta_key(key), *meta_value(value)


def _value_rows(
    row: Mapping[str, Any], values: Iterable[tuple[str, str, int]]
) -> list[dict[str, Any]]:
    shared = {name: row[name] for name in ("project_id", "ts_us", "position")}
    return [
        {**shared, "key": key, "value": value, "is_text": is_text} for key, value, is_text in values
    ]
