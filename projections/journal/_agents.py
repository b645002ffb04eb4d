"""The journal's agents: their sessions and assignments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.errors import ConflictError, InvalidInputError
from eventstore.log.clock import from_microseconds
from projections.journal.checks import read_moment
from projections.journal.columns import from_column, optional_from_column
from projections.journal.events import (
    AGENT_PROJECT_SET,
    SESSION_ENDED,
    SESSION_SET,
    AssignmentData,
    agent_stream,
    session_stream,
)
from projections.journal.model import Project, project_name
from projections.journal.queries.agents import (
    AssignmentRow,
    SessionRow,
    assignment_of,
    find_assignment,
    find_session,
    find_times,
    session_of,
)
from projections.seams.checks import check_optional_text, check_text, copy_optional_object
from projections.seams.projected_store import ProjectedStore
from projections.seams.stream_keys import read_stream_key, stream_key
from projections.tables.access_times import AccessTimes

if TYPE_CHECKING:
    from datetime import datetime

    from eventstore import EventStore

HEARTBEATS: Final = "journal-session"
"""The kind of heartbeats among access times."""

TOOLS: Final = "journal-tool"
"""The kind of the times at which sessions used tools; keys are ``SESSION/TOOL``."""

RECENT_TOOLS: Final = 50


class AgentStore(ProjectedStore):
    """Sessions and assignments of :class:`~projections.journal.Journal`."""

    def _on_open(self, store: EventStore) -> None:
        super()._on_open(store)
        self._heartbeats = AccessTimes(store, HEARTBEATS)
        self._tools = AccessTimes(store, TOOLS)

    async def upsert_agent_session(
        self, agent_id: str, session_id: str, metadata: dict[str, Any] | None
    ) -> None:
        """Begin a session, or replace its data; one that had ended becomes active.

        Any text of up to 255 bytes may be an id. ``metadata`` is a JSON object or ``None``.
        """
        stream_key(agent_id, "agent_id")
        data = {
            "agent_id": agent_id,
            "session_id": session_id,
            "metadata": copy_optional_object("metadata", metadata),
        }
        await self._append(session_stream(session_id), self._event(SESSION_SET, data))

    async def heartbeat_session(self, session_id: str) -> None:
        """Record a heartbeat of a session, without an event.

        The time is kept beside the log and stored within 200 ms; this journal sees it at once.
        A process that is killed loses the heartbeats of its last 200 ms. A session that is
        unknown or has ended gets none.
        """
        found = await self._session(session_id)
        if found is not None and found.ended_us is None:
            self._heartbeats.record(stream_key(session_id))

    async def end_session(self, session_id: str) -> None:
        """End a session; nothing changes for one that is unknown or has ended."""
        found = await self._session(session_id)
        if found is not None and found.ended_us is None:
            event = self._event(SESSION_ENDED, {"session_id": session_id})
            await self._append(session_stream(session_id), event)

    async def fetch_agent_session(self, session_id: str) -> dict[str, Any] | None:
        """Return a session; ``None`` for an unknown one.

        ``session_id, agent_id, metadata, status`` (``active`` or ``ended``), ``started_at``,
        ``last_active_at`` (of the newest heartbeat or change) and ``ended_at``: ISO 8601, UTC.
        """
        if (found := await self._session(session_id)) is None:
            return None
        heartbeat = self._heartbeats.newest(stream_key(session_id), found.at_us) or 0
        return {
            "session_id": session_id,
            "agent_id": from_column(found.agent_id),
            "metadata": msgspec.json.decode(found.metadata),
            "status": "active" if found.ended_us is None else "ended",
            "started_at": _iso(found.started_us),
            "last_active_at": _iso(max(heartbeat, found.updated_us)),
            "ended_at": None if found.ended_us is None else _iso(found.ended_us),
        }

    async def update_session_activity(
        self, session_id: str, tool_name: str, timestamp: datetime | str | None
    ) -> None:
        """Record that a session used a tool, without an event; ``None`` is now.

        The newest time of each tool is kept beside the log, as heartbeats are. The session need
        not have been begun here.
        """
        key = f"{stream_key(session_id, 'session_id')}/{stream_key(tool_name, 'tool_name')}"
        at = None if not timestamp else read_moment("timestamp", timestamp)[1]
        self._tools.record(key, at)

    async def get_session_activity(self, session_id: str) -> dict[str, Any] | None:
        """Return what a session did last; ``None`` where it used no tool.

        ``session_id, last_activity_at`` (ISO 8601, UTC), ``last_tool``, and ``recent_tools``, the
        names of up to 50 tools, those that were used last first.
        """
        prefix = stream_key(session_id, "session_id") + "/"
        await self._tools.flush()
        query = find_times(self._dialect, TOOLS, prefix, RECENT_TOOLS)
        rows: list[Any] = await self._look(list, query)
        if not rows:
            return None
        tools = [read_stream_key(key.removeprefix(prefix)) for key, _ in rows]
        return {
            "session_id": session_id,
            "last_activity_at": _iso(rows[0][1]),
            "last_tool": tools[0],
            "recent_tools": tools,
        }

    async def _session(self, session_id: str) -> SessionRow | None:
        key = stream_key(session_id, "session_id")
        return await self._look(
            session_of, find_session(self._dialect, session_id, key, HEARTBEATS)
        )

    async def get_agent_project(self, agent_id: str) -> dict[str, Any] | None:
        """Return an agent's assignment; ``None`` where there is none.

        ``agent_id, project_name, version, updated_at`` (ISO 8601, UTC), ``updated_by,
        session_id``. Deleting a project deletes its assignments.
        """
        stream_key(agent_id, "agent_id")
        row = await self._assignment(agent_id)
        return None if row is None else _assignment(agent_id, row)

    async def _assignment(self, agent_id: str) -> AssignmentRow | None:
        return await self._look(assignment_of, find_assignment(self._dialect, agent_id))

    async def set_agent_project(
        self,
        agent_id: str,
        project_name: Project | None,
        expected_version: int | None,
        updated_by: str | None,
        session_id: str | None,
    ) -> dict[str, Any]:
        """Assign an agent to a project, or with ``None`` to none; return the assignment.

        ``expected_version`` is the version that the caller has read: of any number of concurrent
        calls exactly one succeeds. The others raise ConflictError with ``expected`` and
        ``actual``, which is 0 where there is no assignment; so does a call that expects a
        version of none. ``None`` sets regardless. The first version is 1 and each change adds 1,
        also after the assignment was deleted with its project, so that no version is used
        twice. The project need not exist.
        """
        stream = agent_stream(agent_id)
        name = _project_name(project_name)
        if name is not None:
            stream_key(name, "project_name")
        event = self._event(
            AGENT_PROJECT_SET,
            {
                "agent_id": agent_id,
                "project_name": name,
                "session_id": check_optional_text("session_id", session_id),
                "updated_by": check_optional_text("updated_by", updated_by),
            },
            by=updated_by or None,
        )
        if expected_version is None:
            done = await self._append(stream, event)
        else:
            if type(expected_version) is not int:
                raise InvalidInputError(
                    f"expected_version={expected_version!r:.40}", "use a version, or None"
                )
            current = await self._assignment(agent_id)
            actual = current.version if current else 0
            if actual != expected_version or actual == 0:
                raise ConflictError(stream, expected_version, actual)
            done = await self._append(stream, event, expected=expected_version)
        # What was written: another writer may have changed it since, or deleted the project.
        return AssignmentData(**event.data).to_dict(done.version, _iso(done.recorded_us))


def _assignment(agent_id: str, row: AssignmentRow) -> dict[str, Any]:
    texts = (row.project_name, row.session_id, row.updated_by)
    data = AssignmentData(agent_id, *map(optional_from_column, texts))
    return data.to_dict(row.version, _iso(row.updated_us))


def _project_name(project: Project | None) -> str | None:
    return None if project is None else check_text("project_name", project_name(project))


def _iso(microseconds: int) -> str:
    return from_microseconds(microseconds).isoformat()
