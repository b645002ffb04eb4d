"""Rows of agents' sessions and assignments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import update

from projections.journal.columns import optional_to_column, to_column
from projections.journal.tables.schema import assignment_table, session_table
from projections.tables.columns import json_text
from projections.tables.upsert import Upsert

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from projections.journal.events import AssignmentData, SessionData

_UPSERT_SESSION: Final = Upsert(
    session_table,
    ["session_id"],
    update=["agent_id", "metadata", "updated_us", "ended_us", "position"],
)
UPSERT_ASSIGNMENT: Final = Upsert(assignment_table, ["agent_id"])


def set_session(connection: Connection, event: Event, session_id: str, data: SessionData) -> None:
    """Insert a session, or update it; one that had ended becomes active."""
    row = {
        "session_id": to_column(session_id),
        "agent_id": to_column(data.agent_id),
        "metadata": json_text(data.metadata),
        "started_us": event.recorded_us,
        "updated_us": event.recorded_us,
        "ended_us": None,
        "first": event.position,
        "position": event.position,
    }
    _UPSERT_SESSION.execute(connection, row)


def end_session(connection: Connection, event: Event, session_id: str) -> None:
    """Mark an active session as ended."""
    c = session_table.c
    connection.execute(
        update(session_table)
        .where(c.session_id == to_column(session_id), c.ended_us.is_(None))
        .values(ended_us=event.recorded_us)
    )


def assignment_row(event: Event, agent_id: str, data: AssignmentData) -> dict[str, Any]:
    """Return the assignment of an agent; its version is that of the agent's stream."""
    return {
        "agent_id": to_column(agent_id),
        "project_name": optional_to_column(data.project_name),
        "version": event.version,
        "updated_us": event.recorded_us,
        "updated_by": optional_to_column(data.updated_by),
        "session_id": optional_to_column(data.session_id),
        "position": event.position,
    }
