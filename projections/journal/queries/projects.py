"""Questions about projects and what is recorded of their documents, as SQL with its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import BigInteger, bindparam, select

from eventstore.log.clock import from_microseconds
from projections.journal.columns import from_column, to_column
from projections.journal.model import ProjectMetrics, ProjectRecord
from projections.journal.tables.projects import more_of
from projections.journal.tables.schema import document_table, project_table
from projections.tables.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.storage.driver import Query

_c: Final = project_table.c
_PROJECTS: Final = select(
    _c.id,
    _c.name,
    _c.repo_root,
    _c.progress_log_path,
    _c.created_us,
    _c.updated_us,
    document_table.c.json,
).select_from(project_table.outerjoin(document_table, more_of(_c.id)))
_LIST: Final = Statement(_PROJECTS)
_FIND: Final = Statement(_PROJECTS.where(_c.name == bindparam("project")))
_METRICS: Final = Statement(
    select(_c.total, _c.success, _c.warn, _c.error).where(_c.name == bindparam("project"))
)
_DOCUMENTS: Final = Statement(
    select(document_table.c.json, document_table.c.at_us)
    .join_from(document_table, project_table, document_table.c.project_id == _c.id)
    .where(_c.name == bindparam("project"), document_table.c.kind == bindparam("document"))
    .order_by(document_table.c.position.desc())
    .limit(bindparam("limit", type_=BigInteger))
)


def find_project(dialect: str, name: str) -> Query:
    """Ask for a project by its name."""
    return _FIND.ask(dialect, project=to_column(name))


def list_projects(dialect: str) -> Query:
    """Ask for all projects."""
    return _LIST.ask(dialect)


def find_metrics(dialect: str, name: str) -> Query:
    """Ask for the numbers of a project's entries."""
    return _METRICS.ask(dialect, project=to_column(name))


def list_documents(dialect: str, name: str, kind: str, limit: int) -> Query:
    """Ask for changes of documents, or report cards, newest first."""
    return _DOCUMENTS.ask(dialect, project=to_column(name), document=kind, limit=limit)


def project_of(rows: Sequence[Any]) -> ProjectRecord | None:
    """Return the project of :func:`find_project`; ``None`` for an unknown name."""
    return _project(*rows[0]) if rows else None


def projects_of(rows: Sequence[Any]) -> list[ProjectRecord]:
    """Return the projects of :func:`list_projects`, sorted by the bytes of their names."""
    return sorted((_project(*row) for row in rows), key=lambda project: project.name.encode())


def metrics_of(rows: Sequence[Any]) -> ProjectMetrics | None:
    """Return the numbers of :func:`find_metrics`; ``None`` for an unknown name."""
    return ProjectMetrics(*rows[0]) if rows else None


def documents_of(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Return what :func:`list_documents` asks for."""
    return [
        {**msgspec.json.decode(json), "at": from_microseconds(at_us).isoformat()}
        for json, at_us in rows
    ]


def _project(
    id_: int,
    name: str,
    root: str,
    path: str,
    created_us: int,
    updated_us: int,
    more: str | None,
) -> ProjectRecord:
    return ProjectRecord(
        id_,
        from_column(name),
        from_column(root),
        from_column(path),
        from_microseconds(created_us),
        from_microseconds(updated_us),
        **({} if more is None else msgspec.json.decode(more)),
    )
