"""Questions about entries: one by its id, pages of a search, and counts.

What the database alone answers is SQL with its values. A search by regular expression, or into
objects, looks at entries one by one: it needs a connection, and is in :mod:`.streamed`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, bindparam, literal, select

from projections.journal.columns import from_column, optional_from_column, to_column
from projections.journal.paging import EntryPage
from projections.journal.queries.entry_select import (
    SHAPES,
    WHOLE,
    EntrySelect,
    Part,
    shapes_of,
    values_of,
)
from projections.journal.tables import JournalTables
from projections.journal.tables.schema import (
    ENTRY_MORE,
    document_table,
    entry_table,
    project_table,
)
from projections.tables.checkpoints import projection_table
from projections.tables.statements import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.storage.driver import Query
    from projections.journal.paging import Anchor
    from projections.journal.search import Search

_LIMIT: Final = bindparam("limit", type_=BigInteger)
_OFFSET: Final = bindparam("offset", type_=BigInteger)
_MORE: Final = (document_table.c.position == entry_table.c.position) & (
    document_table.c.kind == ENTRY_MORE
)
ENTRY: Final[tuple[ColumnElement[Any], ...]] = (
    *(
        entry_table.c[name]
        for name in (
            "ts_us", "position", "entry_id", "ts", "emoji", "agent", "message", "meta", "raw_line"
        )
    ),
    select(document_table.c.json).where(_MORE).scalar_subquery().label("more"),
)  # fmt: skip
"""The columns of :func:`read_entry`, which begin with the key of an entry."""

_wanted: Final = project_table.alias("wanted")
_one: Final = select(literal(1).label("one")).subquery("one")
_FIND: Final = Statement(
    select(
        select(_wanted.c.id).where(_wanted.c.name == bindparam("project")).scalar_subquery(),
        project_table.c.name,
        *ENTRY,
    ).select_from(
        _one.outerjoin(entry_table, entry_table.c.entry_id == bindparam("entry")).outerjoin(
            project_table, project_table.c.id == entry_table.c.project_id
        )
    )
)
_FIND_POSITION: Final = Statement(
    select(entry_table.c.position).where(entry_table.c.entry_id == bindparam("entry"))
)
_STATE: Final = Statement(
    select(
        project_table.c.id,
        project_table.c.total,
        select(projection_table.c.position)
        .where(projection_table.c.name == JournalTables.name)
        .scalar_subquery(),
    ).where(project_table.c.name == bindparam("project"))
)


def find_entry(dialect: str, name: str, entry_id: str) -> Query:
    """Ask for the entry of an id, in any project, and whether ``name`` is a project."""
    return _FIND.ask(dialect, project=to_column(name), entry=to_column(entry_id))


def found_entry(rows: Sequence[Any]) -> tuple[tuple[str, dict[str, Any]] | None, bool]:
    """Return the entry of :func:`find_entry` with its project's name, and whether ``name`` is."""
    wanted, owner, *row = rows[0]
    found = None if owner is None else (from_column(owner), read_entry(row))
    return found, wanted is not None


def find_position(dialect: str, entry_id: str) -> Query:
    """Ask for the position of the event that inserted an entry."""
    return _FIND_POSITION.ask(dialect, entry=to_column(entry_id))


def read_entry(row: Sequence[Any]) -> dict[str, Any]:
    """Return an entry as callers get it."""
    _, _, entry_id, ts, emoji, agent, message, meta, raw_line, more = row
    if "\1" in message or "\1" in raw_line or "\1" in f"{entry_id}{ts}{emoji}{agent}":
        entry_id, ts, message, raw_line = map(from_column, (entry_id, ts, message, raw_line))
        emoji, agent = optional_from_column(emoji), optional_from_column(agent)
    entry = {
        "id": entry_id,
        "ts": ts,
        "emoji": emoji,
        "agent": agent,
        "message": message,
        "meta": None if meta is None else _decode(meta),
        "raw_line": raw_line,
    }
    return entry if more is None else entry | _decode(more)


_decode: Final = msgspec.json.Decoder().decode


def count(dialect: str, search: Search, part: Part = WHOLE) -> Query:
    """Ask for the exact number of entries that a search finds, where no one looks at each."""
    if part == WHOLE and not search.filters:
        return _TOTAL.ask(dialect, project=to_column(search.project))
    statement = _counted(*shapes_of(search, part), dialect)
    return statement.ask(dialect, **values_of(search, part))


_TOTAL: Final = Statement(
    select(project_table.c.total).where(project_table.c.name == bindparam("project"))
)


def count_of(rows: Sequence[Any]) -> int:
    """Return the number that :func:`count` asks for; 0 for an unknown project."""
    return rows[0][0] if rows else 0


def page(
    dialect: str,
    search: Search,
    limit: int,
    offset: int,
    *,
    as_of: int | None,
    anchor: Anchor | None,
    with_total: bool,
) -> list[Query]:
    """Ask for ``limit`` entries after the ``offset`` newest, as of a position of the log.

    That is ``as_of``, or where the pages of ``anchor`` began, or now.
    """
    part = Part(as_of)
    if anchor is not None:
        part = Part(anchor.as_of)
        if anchor.next_offset == offset and anchor.last is not None:
            part, offset = Part(anchor.as_of, anchor.last), 0
    found = [*_asked(dialect, search, limit, offset, part)]
    if with_total and (anchor is None or anchor.total < 0):
        found.append(count(dialect, search, Part(part.as_of)))
    return found


@lru_cache(SHAPES)
def _asked(
    dialect: str, search: Search, limit: int, offset: int, part: Part
) -> tuple[Query, Query]:
    """Ask for the project and for entries: programs ask the same again and again."""
    statement = _paged(*shapes_of(search, part), dialect)
    return (
        _STATE.ask(dialect, project=to_column(search.project)),
        statement.ask(dialect, limit=limit, offset=offset, **values_of(search, part)),
    )


@lru_cache(SHAPES)
def _paged(shape: Search, part: Part, dialect: str) -> Statement:
    found = EntrySelect(dialect, shape, part).select(ENTRY)
    return Statement(found.limit(_LIMIT).offset(_OFFSET))


@lru_cache(SHAPES)
def _counted(shape: Search, part: Part, dialect: str) -> Statement:
    return Statement(EntrySelect(dialect, shape, part).count())


def page_of(
    anchor: Anchor | None,
    as_of: int | None,
    states: Sequence[Any],
    rows: Sequence[Any],
    totals: Sequence[Any] | None = None,
) -> EntryPage:
    """Return the page that :func:`page` asks for; without entries for an unknown project."""
    if not states:
        return EntryPage([], None, 0, None, 0)
    project_id, _, now = states[0]
    total = -1 if anchor is None else anchor.total
    if totals is not None:
        total = count_of(totals)
    at = anchor.as_of if anchor is not None else as_of
    last = (rows[-1][0], rows[-1][1]) if rows else None
    entries = [read_entry(row) for row in rows]
    return EntryPage(entries, project_id, (now or 0) if at is None else at, last, total)
