"""The journal's projects, and what it records of their documents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from eventstore.errors import DuplicateEventError
from projections.journal.checks import check_path
from projections.journal.events import (
    DOC_CHANGE_RECORDED,
    PROJECT_DELETED,
    PROJECT_SET,
    REPORT_CARD_RECORDED,
    project_stream,
)
from projections.journal.model import (
    Project,
    ProjectMetrics,
    ProjectRecord,
    UnknownProjectError,
    project_name,
)
from projections.journal.queries.projects import (
    find_metrics,
    find_project,
    list_documents,
    list_projects,
)
from projections.seams.checks import (
    check_optional_text,
    check_text,
    check_whole_number,
    copy_optional_object,
)
from projections.seams.projected_store import ProjectedStore

if TYPE_CHECKING:
    from pathlib import Path


class ProjectStore(ProjectedStore):
    """Projects of :class:`~projections.journal.Journal`."""

    async def upsert_project(
        self, *, name: str, repo_root: str | Path, progress_log_path: str | Path
    ) -> ProjectRecord:
        """Make a project, or replace its data; ``updated_at`` moves with each call."""
        data = {
            "name": name,
            "repo_root": check_path("repo_root", repo_root),
            "progress_log_path": check_path("progress_log_path", progress_log_path),
        }
        await self._append(project_stream(name), self._event(PROJECT_SET, data))
        if (record := await self.fetch_project(name)) is None:
            raise UnknownProjectError(name)  # Deleted in between.
        return record

    async def fetch_project(self, name: str) -> ProjectRecord | None:
        """Return a project by its name."""
        project_stream(name)
        return await self._query(partial(find_project, name=name))

    async def list_projects(self) -> list[ProjectRecord]:
        """Return all projects, by name."""
        return await self._query(list_projects)

    async def delete_project(self, name: Project) -> bool:
        """Delete a project with its entries, metrics, documents and assignments.

        False for an unknown one. Of concurrent calls one returns True. The log keeps the events;
        ``eventstore redact`` erases their content.
        """
        name = project_name(name)
        stream = project_stream(name)
        if (record := await self._query(partial(find_project, name=name))) is None:
            return False
        event = self._event(
            PROJECT_DELETED, {"name": name}, event_id=f"journal-project-deleted:{record.id}"
        )
        try:
            return not (await self._append(stream, event)).duplicate
        except DuplicateEventError:
            return False

    async def fetch_project_metrics(self, project: Project) -> ProjectMetrics | None:
        """Return the numbers of a project's entries: all, and by the outcome of their emojis.

        :data:`projections.journal.OUTCOMES` says which emoji means what.
        """
        return await self._query(
            partial(find_metrics, name=check_text("project", project_name(project)))
        )

    async def record_doc_change(
        self,
        project: Project,
        *,
        doc: str,
        section: str | None,
        action: str,
        agent: str | None,
        metadata: dict[str, Any] | None,
        sha_before: str | None,
        sha_after: str | None,
    ) -> None:
        """Record that a document of a project was changed."""
        data = {
            "doc": check_text("doc", doc),
            "section": check_optional_text("section", section),
            "action": check_text("action", action),
            "agent": check_optional_text("agent", agent),
            "metadata": copy_optional_object("metadata", metadata),
            "sha_before": check_optional_text("sha_before", sha_before),
            "sha_after": check_optional_text("sha_after", sha_after),
        }
        await self._record(project, DOC_CHANGE_RECORDED, data)

    async def record_agent_report_card(
        self,
        project: Project,
        *,
        file_path: str | Path,
        agent_name: str,
        stage: str | None,
        overall_grade: float | str | None,
        performance_level: str | None,
        metadata: dict[str, Any] | None,
    ) -> None:
        """Record an agent's report card."""
        data = {
            "file_path": check_path("file_path", file_path),
            "agent_name": check_text("agent_name", agent_name),
            "stage": check_optional_text("stage", stage),
            "overall_grade": overall_grade,
            "performance_level": check_optional_text("performance_level", performance_level),
            "metadata": copy_optional_object("metadata", metadata),
        }
        await self._record(project, REPORT_CARD_RECORDED, data)

    async def list_doc_changes(self, project: Project, *, limit: int = 100) -> list[dict[str, Any]]:
        """Return what :meth:`record_doc_change` recorded, newest first, with ``at``."""
        return await self._documents(project, "doc_change", limit)

    async def list_agent_report_cards(
        self, project: Project, *, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return what :meth:`record_agent_report_card` recorded, newest first, with ``at``."""
        return await self._documents(project, "report_card", limit)

    async def _record(self, project: Project, type_: str, data: dict[str, Any]) -> None:
        name = project_name(project)
        stream, event = project_stream(name), self._event(type_, data)
        if await self._query(partial(find_project, name=name)) is None:
            raise UnknownProjectError(name)
        await self._append(stream, event)

    async def _documents(self, project: Project, kind: str, limit: int) -> list[dict[str, Any]]:
        name = check_text("project", project_name(project))
        most = check_whole_number("limit", limit)
        return await self._query(partial(list_documents, name=name, kind=kind, limit=most))
