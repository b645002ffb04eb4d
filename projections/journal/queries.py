"""What the journal asks of its tables; every function reads within one snapshot."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from sqlalchemy import Select, bindparam, func, select, tuple_

from eventstore.log.clock import from_microseconds
from projections.journal.columns import fold, from_column, to_column
from projections.journal.model import ProjectMetrics, ProjectRecord
from projections.journal.search import matching
from projections.journal.tables import (
    JournalTables,
    assignment_table,
    document_table,
    entry_table,
    meta_table,
    project_table,
    session_table,
)
from projections.tables.access_times import access_time_table
from projections.tables.checkpoints import projection_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, FromClause, Row

    from projections.journal.paging import Anchor
    from projections.journal.search import Search

STREAMED = 2_000
"""Rows on their way from the database at once, where a regular expression judges them."""


class Found(NamedTuple):
    """A page: its entries, and what its next page has to know."""

    entries: list[dict[str, Any]]
    project_id: int | None
    as_of: int
    last: tuple[int, int] | None
    total: int


_FIND_PROJECT: Final = select(project_table).where(project_table.c.name == bindparam("key"))


def find_project(connection: Connection, name: str) -> ProjectRecord | None:
    """Return a project by its name."""
    row = connection.execute(_FIND_PROJECT, {"key": to_column(name)}).first()
    return None if row is None else _project(row)


def all_projects(connection: Connection) -> list[ProjectRecord]:
    """Return all projects, by name in the order of its bytes."""
    rows = connection.execute(select(project_table))
    return sorted(map(_project, rows), key=lambda project: project.name.encode())


def _project(row: Row[Any]) -> ProjectRecord:
    return ProjectRecord(
        row.id,
        from_column(row.name),
        from_column(row.repo_root),
        from_column(row.progress_log_path),
        from_microseconds(row.created_us),
        from_microseconds(row.updated_us),
    )


def metrics(connection: Connection, name: str) -> ProjectMetrics | None:
    """Return how many entries a project has."""
    c = project_table.c
    row = connection.execute(
        select(c.total, c.success, c.warn, c.error).where(c.name == to_column(name))
    ).first()
    return None if row is None else ProjectMetrics(*row)


_ENTRY = [
    entry_table.c[name]
    for name in (
        "ts_us", "position", "entry_id", "ts", "emoji", "agent", "message", "meta", "raw_line"
    )
]  # fmt: skip


_LOOK: Final = (
    select(project_table.c.id, entry_table.c.project_id, *_ENTRY)
    .select_from(
        project_table.outerjoin(entry_table, entry_table.c.entry_id == bindparam("entry_key"))
    )
    .where(project_table.c.name == bindparam("key"))
)
_OWNER: Final = select(project_table.c.name, *_ENTRY).join_from(
    entry_table,
    project_table,
    (project_table.c.id == entry_table.c.project_id)
    & (entry_table.c.entry_id == bindparam("entry_key")),
)


def look_up(
    connection: Connection, name: str, entry_id: str
) -> tuple[tuple[str, dict[str, Any]] | None, bool]:
    """Return the entry of an id with its project's name, and whether ``name`` is there."""
    keys = {"key": to_column(name), "entry_key": to_column(entry_id)}
    row = connection.execute(_LOOK, keys).first()
    if row is not None and row.project_id in {None, row.id}:
        return (None if row.project_id is None else (name, _entry(row))), True
    other = connection.execute(_OWNER, {"entry_key": keys["entry_key"]}).first()
    return (None if other is None else (from_column(other.name), _entry(other))), row is not None


def _entry(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": from_column(row.entry_id),
        "ts": from_column(row.ts),
        "emoji": _text(row.emoji),
        "agent": _text(row.agent),
        "message": from_column(row.message),
        "meta": None if row.meta is None else msgspec.json.decode(row.meta),
        "raw_line": from_column(row.raw_line),
    }


def _text(column: str | None) -> str | None:
    return None if column is None else from_column(column)


class _Plan:
    """The statement for a search: the keys are those of metadata where it asks for any."""

    def __init__(
        self,
        connection: Connection,
        search: Search,
        project_id: int,
        as_of: int | None,
        below: tuple[int, int] | None = None,
    ) -> None:
        entry = entry_table.c
        self._conditions: list[ColumnElement[bool]] = []
        self._source: FromClause = entry_table
        self.ts_us, self.position, owner = entry.ts_us, entry.position, entry.project_id
        self._joined = True
        for number, wanted in enumerate(search.meta):
            table = meta_table.alias(f"meta{number}")
            at = table.c
            if number == 0:
                self._source, self._joined = table, False
                self.ts_us, self.position, owner = at.ts_us, at.position, at.project_id
            else:
                self._source = self._source.join(
                    table, (at.ts_us == self.ts_us) & (at.position == self.position)
                )
            self._conditions += [at.project_id == project_id, at.key == wanted.key]
            self._conditions.append(at.value == wanted.value)
            if wanted.is_text is not None:
                self._conditions.append(at.is_text == wanted.is_text)
        if not search.meta:
            self._conditions.append(owner == project_id)
        self._limit_keys(search, as_of, below)
        if search.agents or search.emojis or search.message is not None:
            self._join()
        self._limit_entries(connection, search)

    def _limit_keys(self, search: Search, as_of: int | None, below: tuple[int, int] | None) -> None:
        limits = self._conditions
        if search.start_us is not None:
            limits.append(self.ts_us >= search.start_us)
        if search.end_us is not None:
            limits.append(self.ts_us <= search.end_us)
        if as_of is not None:
            limits.append(self.position <= as_of)
        if below is not None:
            limits.append(tuple_(self.ts_us, self.position) < tuple_(*below))

    def _limit_entries(self, connection: Connection, search: Search) -> None:
        entry = entry_table.c
        for column, values in ((entry.agent, search.agents), (entry.emoji, search.emojis)):
            if len(values) == 1:
                self._conditions.append(column == values[0])
            elif values:
                self._conditions.append(column.in_(values))
        if search.message is None or search.mode == "regex":
            return
        column = entry.message if search.case_sensitive else entry.folded
        text = to_column(search.message) if search.case_sensitive else fold(search.message)
        if search.mode == "exact":
            self._conditions.append(column == text)
        else:
            within = func.instr if connection.dialect.name == "sqlite" else func.strpos
            self._conditions.append(within(column, text) > 0)

    def _join(self) -> None:
        if not self._joined:
            self._joined = True
            self._source = self._source.join(entry_table, entry_table.c.position == self.position)

    def count(self) -> Select[Any]:
        """Return the statement that counts."""
        return select(func.count()).select_from(self._source).where(*self._conditions)

    def select(self, columns: Sequence[ColumnElement[Any]]) -> Select[Any]:
        """Return the statement that gives columns of entries, newest first."""
        self._join()
        return (
            select(*columns)
            .select_from(self._source)
            .where(*self._conditions)
            .order_by(self.ts_us.desc(), self.position.desc())
        )


def count_entries(
    connection: Connection, search: Search, seconds: float, as_of: int | None = None
) -> int:
    """Return how many entries a search finds: exactly."""
    numbers = metrics(connection, search.project)
    project = find_project(connection, search.project)
    if numbers is None or project is None:
        return 0
    if as_of is None and not search.filters:
        return numbers.total
    plan = _Plan(connection, search, project.id, as_of)
    if search.message is not None and search.mode == "regex":
        return sum(1 for _ in _matching(connection, plan, search, seconds))
    total: int = connection.execute(plan.count()).scalar_one()
    return total


def read_page(
    connection: Connection,
    search: Search,
    limit: int,
    offset: int,
    seconds: float,
    *,
    as_of: int | None,
    anchor: Anchor | None,
    with_total: bool,
) -> Found:
    """Return ``limit`` entries after the ``offset`` newest, as of a position of the log.

    That is ``as_of``, or where the pages of ``anchor`` began, or now.
    """
    now = _view_position(connection)
    project = find_project(connection, search.project)
    if project is None:
        return Found([], None, now, None, 0)
    if anchor is not None and anchor.project_id != project.id:
        anchor = None
    below = None
    if anchor is not None:
        as_of = anchor.as_of
        if anchor.next_offset == offset:
            below, offset = anchor.last, 0
    at = now if as_of is None else as_of
    entries, last = _entries(
        connection,
        search,
        _Plan(connection, search, project.id, None if at >= now else at, below),
        limit,
        offset,
        seconds,
    )
    total = -1
    if with_total and anchor is not None and anchor.total >= 0:
        total = anchor.total
    elif with_total:
        total = count_entries(connection, search, seconds, None if at >= now else at)
    return Found(entries, project.id, at, last, total)


def _entries(
    connection: Connection, search: Search, plan: _Plan, limit: int, offset: int, seconds: float
) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    if search.message is None or search.mode != "regex":
        rows = connection.execute(plan.select(_ENTRY).limit(limit).offset(offset)).all()
    else:
        found = _matching(connection, plan, search, seconds)
        positions = [position for _, position in islice(found, offset, offset + limit)]
        found.close()
        rows = _by_position(connection, positions)
    last = (rows[-1].ts_us, rows[-1].position) if rows else None
    return [_entry(row) for row in rows], last


def _matching(connection: Connection, plan: _Plan, search: Search, seconds: float) -> Any:
    statement = plan.select([entry_table.c.ts_us, entry_table.c.position, entry_table.c.message])
    with connection.execute(
        statement.execution_options(stream_results=True, yield_per=STREAMED)
    ) as rows:
        yield from matching(search, rows, seconds)


def _by_position(connection: Connection, positions: Sequence[int]) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for start in range(0, len(positions), 500):
        part = positions[start : start + 500]
        found = connection.execute(select(*_ENTRY).where(entry_table.c.position.in_(part)))
        by_position = {row.position: row for row in found}
        rows += [by_position[position] for position in part]
    return rows


def _view_position(connection: Connection) -> int:
    c = projection_table.c
    found = select(c.position).where(c.name == JournalTables.name)
    return connection.execute(found).scalar_one_or_none() or 0


def documents(connection: Connection, name: str, kind: str, limit: int) -> list[dict[str, Any]]:
    """Return what was recorded of a project's documents, newest first."""
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


def find_session(connection: Connection, session_id: str, key: str, kind: str) -> Row[Any] | None:
    """Return a session with the time of its last heartbeat that is stored, ``at_us``."""
    touched = access_time_table.c
    return connection.execute(
        select(session_table, touched.at_us)
        .select_from(
            session_table.outerjoin(
                access_time_table, (touched.kind == kind) & (touched.key == key)
            )
        )
        .where(session_table.c.session_id == to_column(session_id))
    ).first()


def find_assignment(connection: Connection, agent_id: str) -> dict[str, Any] | None:
    """Return what an agent is assigned to, by column."""
    found = select(assignment_table).where(assignment_table.c.agent_id == to_column(agent_id))
    row = connection.execute(found).mappings().first()
    return None if row is None else dict(row)
