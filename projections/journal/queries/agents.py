"""Questions about agents' sessions and assignments, as SQL with its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import BigInteger, bindparam, select

from projections.journal.columns import to_column
from projections.journal.tables.schema import assignment_table, session_table
from projections.tables.access_times import access_time_table
from projections.tables.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.storage.driver import Query


class SessionRow(NamedTuple):
    """A session as it is stored; ``at_us`` is its newest stored heartbeat."""

    agent_id: str
    metadata: str
    started_us: int
    updated_us: int
    ended_us: int | None
    at_us: int | None


class AssignmentRow(NamedTuple):
    """An agent's assignment as it is stored."""

    project_name: str | None
    version: int
    updated_us: int
    updated_by: str | None
    session_id: str | None


_access: Final = access_time_table.c
_FIND_SESSION: Final = Statement(
    select(*(session_table.c[name] for name in SessionRow._fields[:-1]), _access.at_us)
    .select_from(
        session_table.outerjoin(
            access_time_table,
            (_access.kind == bindparam("heartbeats")) & (_access.key == bindparam("heartbeat")),
        )
    )
    .where(session_table.c.session_id == bindparam("session"))
)
_FIND_ASSIGNMENT: Final = Statement(
    select(*(assignment_table.c[name] for name in AssignmentRow._fields)).where(
        assignment_table.c.agent_id == bindparam("agent")
    )
)
_FIND_TIMES: Final = Statement(
    select(_access.key, _access.at_us)
    .where(
        _access.kind == bindparam("times"),
        _access.key >= bindparam("first"),
        _access.key < bindparam("end"),
    )
    .order_by(_access.at_us.desc(), _access.key)
    .limit(bindparam("limit", type_=BigInteger))
)


def find_session(dialect: str, session_id: str, key: str, kind: str) -> Query:
    """Ask for a session with its newest stored heartbeat."""
    return _FIND_SESSION.ask(dialect, session=to_column(session_id), heartbeat=key, heartbeats=kind)


def find_assignment(dialect: str, agent_id: str) -> Query:
    """Ask for an agent's assignment."""
    return _FIND_ASSIGNMENT.ask(dialect, agent=to_column(agent_id))


def find_times(dialect: str, kind: str, prefix: str, limit: int) -> Query:
    """Ask for keys below a prefix that ends with ``/``, and their times, the newest first."""
    # The end begins with the character after the slash.
    return _FIND_TIMES.ask(dialect, times=kind, first=prefix, end=prefix[:-1] + "0", limit=limit)


def session_of(rows: Sequence[Any]) -> SessionRow | None:
    """Return what :func:`find_session` asks for; ``None`` without one."""
    return SessionRow._make(rows[0]) if rows else None


def assignment_of(rows: Sequence[Any]) -> AssignmentRow | None:
    """Return what :func:`find_assignment` asks for; ``None`` without one."""
    return AssignmentRow._make(rows[0]) if rows else None
