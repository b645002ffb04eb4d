"""The journal's projects, and what is recorded of their documents."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from eventstore.errors import DuplicateEventError
from projections.journal.agents import Agents
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
    check_object,
    check_optional,
    check_path,
    check_text,
    project_name,
    whole_number,
)
from projections.journal.queries import all_projects, documents, find_project, metrics

if TYPE_CHECKING:
    from pathlib import Path


class Projects(Agents):
    """Projects of :class:`~projections.journal.Journal`."""

    async def upsert_project(
        self, *, name: str, repo_root: str | Path, progress_log_path: str | Path
    ) -> ProjectRecord:
        """Make a project, or set what it says; ``updated_at`` moves with each call."""
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
        return await self._query(all_projects)

    async def delete_project(self, name: Project) -> bool:
        """Delete a project with its entries, metrics, documents and assignments.

        False where it is not known. Of any number that try at once one gets True. What it
        had stays in the log's history; ``eventstore redact`` erases from that.
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
        """Return how many entries a project has: all, and by what their emojis say.

        What they say is in :data:`projections.journal.OUTCOMES`.
        """
        return await self._query(
            partial(metrics, name=check_text("project", project_name(project)))
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
            "section": check_optional("section", section),
            "action": check_text("action", action),
            "agent": check_optional("agent", agent),
            "metadata": check_object("metadata", metadata),
            "sha_before": check_optional("sha_before", sha_before),
            "sha_after": check_optional("sha_after", sha_after),
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
        """Record how an agent did."""
        data = {
            "file_path": check_path("file_path", file_path),
            "agent_name": check_text("agent_name", agent_name),
            "stage": check_optional("stage", stage),
            "overall_grade": overall_grade,
            "performance_level": check_optional("performance_level", performance_level),
            "metadata": check_object("metadata", metadata),
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
        most = whole_number("limit", limit)
        return await self._query(partial(documents, name=name, kind=kind, limit=most))
