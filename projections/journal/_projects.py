"""The journal's projects, and what it records of their documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eventstore.errors import DuplicateEventError, InvalidInputError
from projections.journal.checks import check_path
from projections.journal.events import (
    DOC_CHANGE_RECORDED,
    PROJECT_DELETED,
    PROJECT_DOCS_SET,
    PROJECT_SET,
    REPORT_CARD_RECORDED,
    project_stream,
)
from projections.journal.model import (
    Project,
    ProjectMetrics,
    ProjectRecord,
    UnknownProjectError,
    absolute_root,
    project_name,
)
from projections.journal.queries.projects import (
    documents_of,
    find_metrics,
    find_project,
    list_documents,
    list_projects,
    metrics_of,
    project_of,
    projects_of,
)
from projections.seams.checks import (
    check_flag,
    check_optional_text,
    check_text,
    check_whole_number,
    copy_object,
    copy_optional_object,
)
from projections.seams.projected_store import ProjectedStore, is_few

if TYPE_CHECKING:
    from pathlib import Path


class ProjectStore(ProjectedStore):
    """Projects of :class:`~projections.journal.Journal`."""

    async def upsert_project(
        self,
        *,
        name: str,
        repo_root: str | Path,
        progress_log_path: str | Path,
        docs_json: Any = None,
        bridge_id: str | None = None,
        bridge_managed: bool = False,
    ) -> ProjectRecord:
        """Make a project, or replace its data; ``updated_at`` moves with each call.

        ``docs_json`` is any JSON value; without one the documents stay as they are.
        """
        data = {
            "name": name,
            "repo_root": check_path("repo_root", repo_root),
            "progress_log_path": check_path("progress_log_path", progress_log_path),
        }
        more = {
            "docs_json": _documents(docs_json),
            "bridge_id": check_optional_text("bridge_id", bridge_id),
            "bridge_managed": check_flag("bridge_managed", bridge_managed),
        }
        data |= {
            key: value for key, value in more.items() if value is not None and value is not False
        }
        await self._append(project_stream(name), self._event(PROJECT_SET, data))
        if (record := await self.fetch_project(name)) is None:
            raise UnknownProjectError(name)  # Deleted in between.
        return record

    async def fetch_project(
        self,
        name: str,
        *,
        repo_root: str | Path | None = None,
        project_key: str | None = None,
    ) -> ProjectRecord | None:
        """Return a project by its name, or by its ``project_key`` whatever its name.

        With ``repo_root`` its repository has to be that one.
        """
        project_stream(name)
        if project_key:
            keys = {one.project_key: one for one in await self.list_projects()}
            return keys.get(project_key)
        found = await self._find(name)
        return found if found is None or not repo_root or _is_in(found, repo_root) else None

    async def list_projects_by_repo(self, repo_root: str | Path) -> list[ProjectRecord]:
        """Return the projects of one repository, by name; paths are compared as absolute ones."""
        check_path("repo_root", repo_root)
        return [one for one in await self.list_projects() if _is_in(one, repo_root)]

    async def update_project_docs(
        self, name: Project, docs_json: Any, *, repo_root: str | Path | None = None
    ) -> bool:
        """Replace a project's documents; False for an unknown one, or one of another repository.

        ``docs_json`` is any JSON value but null.
        """
        name = project_name(name)
        event = self._event(PROJECT_DOCS_SET, {"docs_json": _documents(docs_json)})
        if docs_json is None:
            raise InvalidInputError("docs_json", "must be a JSON value: give {} for no documents")
        if await self.fetch_project(name, repo_root=repo_root) is None:
            return False
        await self._append(project_stream(name), event)
        return True

    async def list_projects(self) -> list[ProjectRecord]:
        """Return all projects, by name."""
        return await self._look(projects_of, list_projects(self._dialect), brief=False)

    async def _find(self, name: str) -> ProjectRecord | None:
        return await self._look(project_of, find_project(self._dialect, name))

    async def delete_project(self, name: Project) -> bool:
        """Delete a project with its entries, metrics, documents and assignments.

        False for an unknown one. Of concurrent calls one returns True. The log keeps the events;
        ``eventstore redact`` erases their content.
        """
        name = project_name(name)
        stream = project_stream(name)
        if (record := await self._find(name)) is None:
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
        name = check_text("project", project_name(project))
        return await self._look(metrics_of, find_metrics(self._dialect, name))

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
        return await self._list_documents(project, "doc_change", limit)

    async def list_agent_report_cards(
        self, project: Project, *, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return what :meth:`record_agent_report_card` recorded, newest first, with ``at``."""
        return await self._list_documents(project, "report_card", limit)

    async def _record(self, project: Project, type_: str, data: dict[str, Any]) -> None:
        name = project_name(project)
        stream, event = project_stream(name), self._event(type_, data)
        if await self._find(name) is None:
            raise UnknownProjectError(name)
        await self._append(stream, event)

    async def _list_documents(
        self, project: Project, kind: str, limit: int
    ) -> list[dict[str, Any]]:
        name = check_text("project", project_name(project))
        most = check_whole_number("limit", limit)
        query = list_documents(self._dialect, name, kind, most)
        return await self._look(documents_of, query, brief=is_few(most))


def _is_in(project: ProjectRecord, repo_root: str | Path) -> bool:
    given = check_path("repo_root", repo_root)
    return absolute_root(given) == absolute_root(project.repo_root)


def _documents(value: Any) -> Any:
    """Return a JSON value; an append checks what is in it."""
    return copy_object("docs_json", value) if isinstance(value, Mapping) else value
