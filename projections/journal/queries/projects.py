"""Questions about projects and what is recorded of their documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import bindparam, select

from eventstore.log.clock import from_microseconds
from projections.journal.columns import from_column, to_column
from projections.journal.model import ProjectMetrics, ProjectRecord
from projections.journal.tables.projects import more_of
from projections.journal.tables.schema import document_table, project_table

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

_PROJECTS: Final = select(project_table, document_table.c.json).select_from(
    project_table.outerjoin(document_table, more_of(project_table.c.id))
)
_FIND_PROJECT: Final = _PROJECTS.where(project_table.c.name == bindparam("key"))


def find_project(connection: Connection, name: str) -> ProjectRecord | None:
    """Return a project by its name."""
    row = connection.execute(_FIND_PROJECT, {"key": to_column(name)}).first()
    return None if row is None else _project(row)


def list_projects(connection: Connection) -> list[ProjectRecord]:
    """Return all projects, sorted by the bytes of their names."""
    rows = connection.execute(_PROJECTS)
    return sorted(map(_project, rows), key=lambda project: project.name.encode())


def _project(row: Row[Any]) -> ProjectRecord:
    return ProjectRecord(
        row.id,
        from_column(row.name),
        from_column(row.repo_root),
        from_column(row.progress_log_path),
        from_microseconds(row.created_us),
        from_microseconds(row.updated_us),
        **({} if row.json is None else msgspec.json.decode(row.json)),
    )


def find_metrics(connection: Connection, name: str) -> ProjectMetrics | None:
    """Return the numbers of a project's entries; ``None`` for an unknown name."""
    c = project_table.c
    row = connection.execute(
        select(c.total, c.success, c.warn, c.error).where(c.name == to_column(name))
    ).first()
    return None if row is None else ProjectMetrics(*row)


def list_documents(
    connection: Connection, name: str, kind: str, limit: int
) -> list[dict[str, Any]]:
    """Return changes of documents, or report cards, newest first."""
    if (project := find_project(connection, name)) is None:
        return []
    c = document_table.c
    rows = connection.execute(
        select(c.json, c.at_us)
        .where(c.project_id == project.id, c.kind == kind)
        .order_by(c.position.desc())
        .limit(limit)
    )
    return [
        {**msgspec.json.decode(row.json), "at": from_microseconds(row.at_us).isoformat()}
        for row in rows
    ]
