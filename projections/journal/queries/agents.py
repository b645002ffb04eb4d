"""Questions about agents' sessions and assignments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from projections.journal.columns import to_column
from projections.journal.tables.schema import assignment_table, session_table
from projections.tables.access_times import access_time_table

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


def find_session(connection: Connection, session_id: str, key: str, kind: str) -> Row[Any] | None:
    """Return a session with its newest stored heartbeat, ``at_us``."""
    access = access_time_table.c
    return connection.execute(
        select(session_table, access.at_us)
        .select_from(
            session_table.outerjoin(access_time_table, (access.kind == kind) & (access.key == key))
        )
        .where(session_table.c.session_id == to_column(session_id))
    ).first()


def find_assignment(connection: Connection, agent_id: str) -> dict[str, Any] | None:
    """Return an agent's assignment, by column; ``None`` where it has none."""
    found = select(assignment_table).where(assignment_table.c.agent_id == to_column(agent_id))
    row = connection.execute(found).mappings().first()
    return None if row is None else dict(row)


def find_times(connection: Connection, kind: str, prefix: str, limit: int) -> list[Row[Any]]:
    """Return the keys that begin with a prefix, which ends with ``/``, the newest first."""
    c = access_time_table.c
    end = prefix[:-1] + "0"  # The character after the slash.
    return list(
        connection.execute(
            select(c.key, c.at_us)
            .where(c.kind == kind, c.key >= prefix, c.key < end)
            .order_by(c.at_us.desc(), c.key)
            .limit(limit)
        )
    )
