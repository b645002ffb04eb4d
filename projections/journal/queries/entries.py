"""Questions about entries: one by its id, pages of a search, and counts."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import ColumnElement, bindparam, select

from projections.journal.columns import from_column, optional_from_column, to_column
from projections.journal.message_pattern import matching
from projections.journal.paging import EntryPage
from projections.journal.queries.entry_select import EntrySelect
from projections.journal.queries.projects import find_metrics, find_project
from projections.journal.tables import JournalTables
from projections.journal.tables.schema import (
    ENTRY_MORE,
    document_table,
    entry_table,
    project_table,
)
from projections.tables.checkpoints import projection_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from projections.journal.paging import Anchor
    from projections.journal.search import MetaFilter, Search

STREAMED: Final = 2_000
"""Rows that are fetched at once where a regular expression filters them."""

_ENTRY: Final[list[ColumnElement[Any]]] = [
    entry_table.c[name]
    for name in (
        "ts_us", "position", "entry_id", "ts", "emoji", "agent", "message", "meta", "raw_line"
    )
]  # fmt: skip
_MORE: Final = (document_table.c.position == entry_table.c.position) & (
    document_table.c.kind == ENTRY_MORE
)
_ENTRY.append(select(document_table.c.json).where(_MORE).scalar_subquery().label("more"))

_FIND_IN_PROJECT: Final = (
    select(project_table.c.id, entry_table.c.project_id, *_ENTRY)
    .select_from(
        project_table.outerjoin(entry_table, entry_table.c.entry_id == bindparam("entry_key"))
    )
    .where(project_table.c.name == bindparam("key"))
)
_FIND_ANYWHERE: Final = select(project_table.c.name, *_ENTRY).join_from(
    entry_table,
    project_table,
    (project_table.c.id == entry_table.c.project_id)
    & (entry_table.c.entry_id == bindparam("entry_key")),
)


def find_entry(
    connection: Connection, name: str, entry_id: str
) -> tuple[tuple[str, dict[str, Any]] | None, bool]:
    """Return the entry of an id with its project's name, and whether ``name`` is a project."""
    keys = {"key": to_column(name), "entry_key": to_column(entry_id)}
    row = connection.execute(_FIND_IN_PROJECT, keys).first()
    if row is not None and row.project_id in {None, row.id}:
        return (None if row.project_id is None else (name, _entry(row))), True
    other = connection.execute(_FIND_ANYWHERE, {"entry_key": keys["entry_key"]}).first()
    return (None if other is None else (from_column(other.name), _entry(other))), row is not None


def find_position(connection: Connection, entry_id: str) -> int | None:
    """Return the position of the event that inserted an entry; ``None`` without one."""
    c = entry_table.c
    found = select(c.position).where(c.entry_id == to_column(entry_id))
    position: int | None = connection.execute(found).scalar()
    return position


def _entry(row: Row[Any]) -> dict[str, Any]:
    entry = {
        "id": from_column(row.entry_id),
        "ts": from_column(row.ts),
        "emoji": optional_from_column(row.emoji),
        "agent": optional_from_column(row.agent),
        "message": from_column(row.message),
        "meta": None if row.meta is None else msgspec.json.decode(row.meta),
        "raw_line": from_column(row.raw_line),
    }
    return entry if row.more is None else entry | msgspec.json.decode(row.more)


def count_entries(
    connection: Connection, search: Search, seconds: float, as_of: int | None = None
) -> int:
    """Return the exact number of entries that a search finds."""
    numbers = find_metrics(connection, search.project)
    project = find_project(connection, search.project)
    if numbers is None or project is None:
        return 0
    if as_of is None and not search.filters:
        return numbers.total
    plan = EntrySelect(connection, search, project.id, as_of)
    if _is_streamed(search):
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
) -> EntryPage:
    """Return ``limit`` entries after the ``offset`` newest, as of a position of the log.

    That is ``as_of``, or where the pages of ``anchor`` began, or now.
    """
    now = _projection_position(connection)
    project = find_project(connection, search.project)
    if project is None:
        return EntryPage([], None, now, None, 0)
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
        EntrySelect(connection, search, project.id, None if at >= now else at, below),
        limit,
        offset,
        seconds,
    )
    total = -1
    if with_total and anchor is not None and anchor.total >= 0:
        total = anchor.total
    elif with_total:
        total = count_entries(connection, search, seconds, None if at >= now else at)
    return EntryPage(entries, project.id, at, last, total)


def _entries(
    connection: Connection,
    search: Search,
    plan: EntrySelect,
    limit: int,
    offset: int,
    seconds: float,
) -> tuple[list[dict[str, Any]], tuple[int, int] | None]:
    if not _is_streamed(search):
        rows = connection.execute(plan.select(_ENTRY).limit(limit).offset(offset)).all()
    else:
        found = _matching(connection, plan, search, seconds)
        positions = [position for _, position in islice(found, offset, offset + limit)]
        found.close()
        rows = _by_position(connection, positions)
    last = (rows[-1].ts_us, rows[-1].position) if rows else None
    return [_entry(row) for row in rows], last


def _is_streamed(search: Search) -> bool:
    """Whether entries are looked at one by one, after the database has found what it can."""
    return bool(search.paths) or (search.message is not None and search.mode == "regex")


def _matching(connection: Connection, plan: EntrySelect, search: Search, seconds: float) -> Any:
    c, paths = entry_table.c, search.paths
    statement = plan.select([c.ts_us, c.position, c.message, *([c.meta] if paths else [])])
    with connection.execute(
        statement.execution_options(stream_results=True, yield_per=STREAMED)
    ) as rows:
        found: Any = rows
        if paths:
            found = (row[:3] for row in rows if _leads_to(row.meta, paths))
        if search.message is None or search.mode != "regex":
            yield from ((ts_us, position) for ts_us, position, _ in found)
        else:
            yield from matching(
                search.message, found, seconds, case_sensitive=search.case_sensitive
            )


def _leads_to(meta: str | None, paths: Sequence[MetaFilter]) -> bool:
    values = msgspec.json.decode(meta or "{}")
    return all(wanted.matches(values) for wanted in paths)


def _by_position(connection: Connection, positions: Sequence[int]) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for start in range(0, len(positions), 500):
        part = positions[start : start + 500]
        found = connection.execute(select(*_ENTRY).where(entry_table.c.position.in_(part)))
        by_position = {row.position: row for row in found}
        rows += [by_position[position] for position in part]
    return rows


def _projection_position(connection: Connection) -> int:
    c = projection_table.c
    found = select(c.position).where(c.name == JournalTables.name)
    return connection.execute(found).scalar_one_or_none() or 0
