"""Searches that look at entries one by one: by regular expression, and into objects.

The database finds what it can. What it finds is fetched some rows at a time, within one snapshot.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import bindparam, select

from projections.journal.columns import to_column
from projections.journal.message_pattern import matching
from projections.journal.paging import EntryPage
from projections.journal.queries.entries import ENTRY, read_entry
from projections.journal.queries.entry_select import (
    WHOLE,
    EntrySelect,
    Part,
    shapes_of,
    values_of,
)
from projections.journal.tables import JournalTables
from projections.journal.tables.schema import entry_table, project_table
from projections.tables.checkpoints import projection_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from projections.journal.paging import Anchor
    from projections.journal.search import MetaFilter, Search

STREAMED: Final = 2_000
"""Rows that are fetched at once."""

_FIND_PROJECT: Final = select(project_table.c.id).where(
    project_table.c.name == bindparam("project")
)
_POSITION: Final = select(projection_table.c.position).where(
    projection_table.c.name == JournalTables.name
)


def is_streamed(search: Search) -> bool:
    """Whether entries are looked at one by one, after the database has found what it can."""
    return bool(search.paths) or (search.message is not None and search.mode == "regex")


def count_streamed(connection: Connection, search: Search, seconds: float) -> int:
    """Return the exact number of entries that a search finds."""
    return sum(1 for _ in _matching(connection, search, WHOLE, seconds))


def read_streamed(
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
    now = connection.execute(_POSITION).scalar_one_or_none() or 0
    project_id = connection.execute(_FIND_PROJECT, {"project": to_column(search.project)}).scalar()
    if project_id is None:
        return EntryPage([], None, now, None, 0)
    if anchor is not None and anchor.project_id != project_id:
        anchor = None
    below = None
    if anchor is not None:
        as_of = anchor.as_of
        if anchor.next_offset == offset:
            below, offset = anchor.last, 0
    found = _matching(connection, search, Part(as_of, below), seconds)
    positions = [position for _, position in islice(found, offset, offset + limit)]
    found.close()
    rows = _by_position(connection, positions)
    total = -1 if anchor is None else anchor.total
    if with_total and total < 0:
        total = sum(1 for _ in _matching(connection, search, Part(as_of), seconds))
    last = (rows[-1].ts_us, rows[-1].position) if rows else None
    entries = [read_entry(row) for row in rows]
    return EntryPage(entries, project_id, now if as_of is None else as_of, last, total)


def _matching(connection: Connection, search: Search, part: Part, seconds: float) -> Any:
    c, paths = entry_table.c, search.paths
    plan = EntrySelect(connection.dialect.name, *shapes_of(search, part))
    statement = plan.select([c.ts_us, c.position, c.message, *([c.meta] if paths else [])])
    options = {"stream_results": True, "yield_per": STREAMED}
    values = values_of(search, part)
    with connection.execute(statement, values, execution_options=options) as rows:
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


def _by_position(connection: Connection, positions: Sequence[int]) -> list[Any]:
    rows: list[Any] = []
    for start in range(0, len(positions), 500):
        part = positions[start : start + 500]
        found = connection.execute(select(*ENTRY).where(entry_table.c.position.in_(part)))
        by_position = {row.position: row for row in found}
        rows += [by_position[position] for position in part]
    return rows
