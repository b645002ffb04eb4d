"""The interface of a journal, for callers that name no implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, Unpack, runtime_checkable

from eventstore.system.keywords import shows
from projections.journal.search import Criteria, by_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from projections.journal.model import Project, ProjectRecord


@runtime_checkable
class JournalProtocol(Protocol):
    """Projects, entries and agents; :class:`~projections.journal.Journal` has it."""

    async def setup(self) -> None:
        """Open; a second call does nothing."""

    async def close(self) -> None:
        """Close."""

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
        """Make a project, or replace its data."""

    async def fetch_project(
        self,
        name: str,
        *,
        repo_root: str | Path | None = None,
        project_key: str | None = None,
    ) -> ProjectRecord | None:
        """Return a project."""

    async def list_projects(self) -> list[ProjectRecord]:
        """Return all projects."""

    async def list_projects_by_repo(self, repo_root: str | Path) -> list[ProjectRecord]:
        """Return the projects of one repository."""

    async def update_project_docs(
        self, name: Project, docs_json: Any, *, repo_root: str | Path | None = None
    ) -> bool:
        """Replace a project's documents."""

    async def delete_project(self, name: Project) -> bool:
        """Delete a project with all its data."""

    async def insert_entry(
        self,
        *,
        entry_id: str,
        project: Project,
        ts: datetime | str,
        emoji: str | None,
        agent: str | None,
        message: str,
        meta: Mapping[str, Any] | None,
        raw_line: str,
        sha256: str,
        priority: str | None = None,
        category: str | None = None,
        tags: Iterable[str] | str | None = None,
        confidence: float | None = None,
        log_type: str | None = None,
    ) -> None:
        """Insert an entry, once."""

    async def fetch_entry_by_id(
        self, *, entry_id: str, repo_id: str | None = None, project_name: str | None = None
    ) -> dict[str, Any] | None:
        """Return an entry."""

    async def update_entry_meta(
        self, *, entry_id: str, project: Project, meta: Mapping[str, Any] | None
    ) -> bool:
        """Replace the metadata of an entry."""

    async def fetch_recent_entries(
        self,
        *,
        project: Project,
        limit: int,
        filters: Mapping[str, Any] | None = None,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return entries, newest first."""

    async def fetch_recent_entries_paginated(
        self,
        *,
        project: Project,
        page: int = 1,
        page_size: int = 50,
        filters: Mapping[str, Any] | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page, and the number of entries in all pages."""

    async def count_entries(
        self, project: Project, filters: Mapping[str, Any] | None = None
    ) -> int:
        """Return the number of entries."""

    @shows(Criteria, by_query)
    async def query_entries(
        self,
        *,
        project: Project,
        limit: int,
        offset: int = 0,
        **criteria: Unpack[Criteria],
    ) -> list[dict[str, Any]]:
        """Return entries that meet all of these, newest first."""

    @shows(Criteria, by_query)
    async def query_entries_paginated(
        self,
        *,
        project: Project,
        page: int = 1,
        page_size: int = 50,
        **criteria: Unpack[Criteria],
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page of those, and the number of entries in all pages."""

    @shows(Criteria, by_query)
    async def count_query_entries(
        self,
        *,
        project: Project,
        **criteria: Unpack[Criteria],
    ) -> int:
        """Return the number of those."""

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

    async def upsert_agent_session(
        self, agent_id: str, session_id: str, metadata: dict[str, Any] | None
    ) -> None:
        """Begin a session, or replace its data."""

    async def heartbeat_session(self, session_id: str) -> None:
        """Record a heartbeat."""

    async def end_session(self, session_id: str) -> None:
        """End a session."""

    async def update_session_activity(
        self, session_id: str, tool_name: str, timestamp: datetime | str | None
    ) -> None:
        """Record that a session used a tool."""

    async def get_session_activity(self, session_id: str) -> dict[str, Any] | None:
        """Return what a session did last."""

    async def get_agent_project(self, agent_id: str) -> dict[str, Any] | None:
        """Return an agent's assignment."""

    async def set_agent_project(
        self,
        agent_id: str,
        project_name: Project | None,
        expected_version: int | None,
        updated_by: str | None,
        session_id: str | None,
    ) -> dict[str, Any]:
        """Assign an agent to a project, against the version that the caller has read."""
