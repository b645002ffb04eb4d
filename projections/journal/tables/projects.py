"""Rows of projects, and of what is recorded of their documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import and_, bindparam, delete, insert, select, update

from projections.journal.columns import to_column
from projections.journal.events import DocChangeData
from projections.journal.model import outcome_of
from projections.journal.tables.schema import (
    PROJECT_MORE,
    assignment_table,
    document_table,
    entry_table,
    meta_table,
    project_table,
)
from projections.tables.columns import json_text
from projections.tables.upsert import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection

    from eventstore.log.events import Event
    from projections.journal.events import ProjectData, ProjectDocsData, ReportCardData

_UPSERT: Final = Upsert(
    project_table, ["name"], update=["repo_root", "progress_log_path", "updated_us", "position"]
)
_FIND_PROJECT: Final = select(project_table.c.id).where(project_table.c.name == bindparam("key"))
COUNTS: Final = ("total", "success", "warn", "error")
_COUNT: Final = (
    update(project_table)
    .where(project_table.c.name == bindparam("key"))
    .values({name: project_table.c[name] + bindparam(f"more_{name}") for name in COUNTS})
)


def set_project(connection: Connection, event: Event, name: str, data: ProjectData) -> None:
    """Insert a project, or update what its event says."""
    row = {
        "id": event.position,
        "name": to_column(name),
        "repo_root": to_column(data.repo_root),
        "progress_log_path": to_column(data.progress_log_path),
        "created_us": event.recorded_us,
        "updated_us": event.recorded_us,
        "position": event.position,
    }
    _UPSERT.execute(connection, row | dict.fromkeys(COUNTS, 0))
    given = {
        "docs_json": data.docs_json,
        "bridge_id": data.bridge_id,
        "bridge_managed": data.bridge_managed,
    }
    _set_more(connection, event, name, given)


def set_docs(connection: Connection, event: Event, name: str, data: ProjectDocsData) -> None:
    """Set a project's documents anew; ignore an unknown project."""
    c = project_table.c
    now = {"updated_us": event.recorded_us, "position": event.position}
    connection.execute(update(project_table).where(c.name == to_column(name)).values(now))
    _set_more(connection, event, name, {"docs_json": data.docs_json})


def _set_more(connection: Connection, event: Event, name: str, given: dict[str, Any]) -> None:
    """Replace a project's newer fields; documents stay where none are given."""
    if (project_id := find_project_id(connection, name)) is None:
        return
    is_more = more_of(project_id)
    old = connection.execute(select(document_table.c.json).where(is_more)).scalar()
    known: dict[str, Any] = {} if old is None else msgspec.json.decode(old)
    new = known | given
    if new.get("docs_json") is None:
        new["docs_json"] = known.get("docs_json")
    if old is not None:
        connection.execute(delete(document_table).where(is_more))
    if any(new.values()) or new["docs_json"] is not None:
        row = {"position": event.position, "project_id": project_id, "kind": PROJECT_MORE}
        row |= {"at_us": event.recorded_us, "json": json_text(new)}
        connection.execute(insert(document_table), row)


def more_of(project_id: Any) -> ColumnElement[bool]:
    """Return the condition for the row of a project's newer fields."""
    c = document_table.c
    return and_(c.project_id == project_id, c.kind == PROJECT_MORE)


def delete_project(connection: Connection, _: Event, name: str) -> None:
    """Delete a project with its entries, documents and assignments."""
    c = project_table.c
    project_id = connection.execute(
        delete(project_table).where(c.name == to_column(name)).returning(c.id)
    ).scalar_one_or_none()
    for table in (meta_table, entry_table, document_table):
        connection.execute(delete(table).where(table.c.project_id == project_id))
    assigned = assignment_table.c.project_name == to_column(name)
    connection.execute(delete(assignment_table).where(assigned))


def find_project_id(connection: Connection, name: str) -> int | None:
    """Return a project's id; ``None`` for an unknown name."""
    found: int | None = connection.execute(_FIND_PROJECT, {"key": to_column(name)}).scalar()
    return found


def count_entries(
    connection: Connection, name: str, emojis: Sequence[str | None], *, by: int = 1
) -> None:
    """Add entries with these emojis to a project's counts, ``by`` times."""
    if emojis:
        more = {f"more_{one}": count * by for one, count in counts_of(emojis).items()}
        connection.execute(_COUNT, {"key": to_column(name), **more})


def counts_of(emojis: Sequence[str | None]) -> dict[str, int]:
    """Return how many entries with these emojis there are, by their outcomes."""
    found = dict.fromkeys(COUNTS, 0)
    found["total"] = len(emojis)
    for outcome in filter(None, map(outcome_of, emojis)):
        found[outcome] += 1
    return found


def insert_document(
    connection: Connection, event: Event, name: str, data: DocChangeData | ReportCardData
) -> None:
    """Insert a change of a document or a report card; ignore one of an unknown project."""
    if (project_id := find_project_id(connection, name)) is not None:
        connection.execute(
            insert(document_table).values(
                position=event.position,
                project_id=project_id,
                kind="doc_change" if isinstance(data, DocChangeData) else "report_card",
                at_us=event.recorded_us,
                json=json_text(data),
            )
        )
