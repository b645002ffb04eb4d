"""Reading one page of events: forwards or backwards, filtered, from the log or what is kept."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from eventstore.errors import HistoryDivergedError, HistoryGoneError
from eventstore.log.events import Cursor, Event
from eventstore.log.operations import Page
from eventstore.storage.reading import PAGE_BYTES, check_cursor, hash_at, read_head, read_lost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.operations import Head, Query
    from eventstore.storage.driver import Driver

UNBOUNDED: Final = 2**62
"""More bytes than any commit has."""

SEARCH_WINDOW: Final = 200_000
"""Positions that one filtered page searches at the most, so that it returns in a time
that does not depend on how rare the matches are."""

# The columns stand in the order of Event's fields.
_EVENTS = (
    "SELECT e.position, s.name, e.version, e.type, e.commit_position, e.id, e.content, "
    "e.data, e.metadata, e.recorded_us, e.hash FROM event e JOIN stream s ON s.id = {} "
    "WHERE e.position > ? AND e.position <= ?"
)
_KEPT = _EVENTS.replace("FROM event e", "FROM kept e").format("e.stream_id")
# The unary plus keeps SQLite from starting at the streams and sorting all their events.
BY_POSITION: Final = _EVENTS.format("+e.stream_id")
"""Selects the events of a range of positions."""
_BY_STREAM = _EVENTS.format("e.stream_id") + " AND e.stream_id = ? AND e.version > ?"


def read_page(driver: Driver, query: Query) -> Page:
    """Read one page, forwards or backwards."""
    head = read_head(driver)
    if query.oldest:
        oldest = 0 if query.kept else head.first_position - 1
        query = msgspec.structs.replace(query, after=oldest)
    _check_start(driver, head, query)
    until = head.position if query.until is None else min(query.until, head.position)
    if query.backwards:
        return _read_backwards(driver, head, query, until)
    if query.after < head.first_position - 1:
        return _read_kept(driver, head, query)
    if until - query.after > SEARCH_WINDOW and query.filtered and not _is_short(driver, query):
        until = query.after + SEARCH_WINDOW
    events, full = _fetch(driver, query, query.after, until, query.limit)
    end = events[-1].position if full else max(until, query.after)
    ends: dict[int, bytes] = {}
    if query.whole_commits:
        end = _to_commit_end(driver, query, events, end)
        ends = _missing_ends(driver, events) if query.filtered else {}
    through = Cursor(head.log_id, end, hash_at(driver, head, end))
    return Page(events, through, head, ends=ends, lost=read_lost(driver, query.consumers))


def _read_backwards(driver: Driver, head: Head, query: Query, until: int) -> Page:
    """Read a page of the log, or of what trimming has kept once ``until`` lies below the log."""
    last = head.first_position - 1
    after = query.after
    if until > last:
        after = max(after, last)
        events, full = _fetch(driver, query, after, until, query.limit)
    else:
        sql, parameters = _filtered(driver, _KEPT, query, after, until)
        statement = _Statement(sql, "e.position DESC", parameters)
        events, full = _collect(driver, statement, query.limit, query.limit)
    floor = events[-1].position - 1 if full else after
    return Page(events, head.cursor, head, floor)


def _read_kept(driver: Driver, head: Head, query: Query) -> Page:
    """Read a page of what trimming has kept; the log itself begins where the last one ends."""
    last = head.first_position - 1
    until = last if query.until is None else min(query.until, last)
    sql, parameters = _filtered(driver, _KEPT, query, query.after, until)
    events, full = _collect(
        driver, _Statement(sql, "e.position", parameters), query.limit, query.limit
    )
    ends: dict[int, bytes] = {}
    if query.whole_commits and events:
        after, commit = events[-1].position, events[-1].commit
        sql, parameters = _filtered(driver, _KEPT, query, after, min(commit, until))
        events += _collect(driver, _Statement(sql, "e.position", parameters), None, None)[0]
        # Where a commit's end is gone, its last event stands for it.
        ends = {event.commit: event.hash for event in events}
        ends[last] = head.base_hash or b""
    end = events[-1].position if full else max(until, query.after)
    through = Cursor(head.log_id, end, hash_at(driver, head, end))
    return Page(events, through, head, ends=ends)


def _is_short(driver: Driver, query: Query) -> bool:
    """Whether the query is for one stream with fewer events than a search looks at."""
    if query.streams is None or query.streams.endswith("/"):
        return False
    found = driver.row("SELECT version FROM stream WHERE name = ?", (query.streams,))
    return found is None or found[0] <= SEARCH_WINDOW


def _check_start(driver: Driver, head: Head, query: Query) -> None:
    if query.expect is not None:
        # Before its position is looked at: one of another log has lost nothing to a trim of this.
        check_cursor(driver, head, query.expect)
    elif query.after > head.position:
        raise HistoryDivergedError(query.after, head.position, "it lies beyond the head")
    if query.after < head.first_position - 1 and not query.kept:
        raise HistoryGoneError(query.after, head.first_position)


def _to_commit_end(driver: Driver, query: Query, events: list[Event], end: int) -> int:
    """Extend a page to the end of the commit it stops in; drop that commit past ``until``."""
    row = driver.row("SELECT commit_position FROM event WHERE position = ?", (end,))
    commit = row[0] if row else end
    if commit == end:
        return end
    if query.until is None or commit <= query.until:
        events += _fetch(driver, query, end, commit, None)[0]
        return int(commit)
    while events and events[-1].commit == commit:
        events.pop()
    start = driver.row(
        "SELECT min(position) FROM event WHERE position > ? AND position <= ? "
        "AND commit_position = ?",
        (query.after, end, commit),
    )
    return int(start[0]) - 1 if start else query.after


def _missing_ends(driver: Driver, events: Sequence[Event]) -> dict[int, bytes]:
    """Return the hash at the end of each commit whose last event was filtered out."""
    matched = {event.position for event in events}
    missing = sorted({event.commit for event in events} - matched)
    return dict(driver.lookup("SELECT position, hash FROM event WHERE position IN ({})", missing))


class _Statement(NamedTuple):
    sql: str
    order: str
    parameters: list[Any]


def _statement(driver: Driver, query: Query, after: int, until: int) -> _Statement | None:
    """Return the query for a range, or ``None`` where the stream does not exist."""
    sql, order = BY_POSITION, "position"
    if query.streams is None or query.streams.endswith("/"):
        sql, parameters = _filtered(driver, sql, query, after, until)
    else:
        parameters = [after, until]
        found = driver.row("SELECT id, version FROM stream WHERE name = ?", (query.streams,))
        if found is None:
            return None
        stream_id, version = found
        # Walk the shorter of the two: the stream's own events, or the range of positions.
        if query.after_version or version <= until - after:
            sql, order = _BY_STREAM, "version"
            parameters += [stream_id, query.after_version]
        else:
            sql += " AND +e.stream_id = ?"
            parameters.append(stream_id)
        sql += _matching(driver, query, parameters)
    direction = " DESC" if query.backwards else ""
    return _Statement(sql, f"e.{order}{direction}", parameters)


def _filtered(
    driver: Driver, sql: str, query: Query, after: int, until: int
) -> tuple[str, list[Any]]:
    """Narrow events in a range of positions to what a query asks for."""
    parameters: list[Any] = [after, until]
    if query.streams is not None and query.streams.endswith("/"):
        sql += f" AND {_IN_CATEGORY}"
        parameters += _category(query.streams)
    elif query.streams is not None:
        sql += " AND s.name = ?"
        parameters.append(query.streams)
    return sql + _matching(driver, query, parameters), parameters


def _matching(driver: Driver, query: Query, parameters: list[Any]) -> str:
    sql = _of_types(query, parameters) + _not_excluded(query, parameters)
    if query.in_metadata:
        sql += f" AND {driver.holds.format('e.metadata')}"
        parameters.append(query.in_metadata)
    return sql


_IN_CATEGORY: Final = "s.name >= ? AND s.name < ?"


def _category(streams: str) -> list[str]:
    """Return the bounds of a category's names: "0" is the character after "/"."""
    return [streams, streams[:-1] + "0"]


def _not_excluded(query: Query, parameters: list[Any]) -> str:
    sql = ""
    for streams in query.exclude_streams:
        if streams.endswith("/"):
            sql += f" AND NOT ({_IN_CATEGORY})"
            parameters += _category(streams)
        else:
            sql += " AND s.name <> ?"
            parameters.append(streams)
    if query.exclude_types:
        sql += f" AND e.type NOT IN ({', '.join('?' * len(query.exclude_types))})"
        parameters += query.exclude_types
    return sql


def _of_types(query: Query, parameters: list[Any]) -> str:
    if query.types is None:
        return ""
    parameters += query.types
    return f" AND e.type IN ({', '.join('?' * len(query.types)) or 'NULL'})"


def _fetch(
    driver: Driver, query: Query, after: int, until: int, limit: int | None
) -> tuple[list[Event], bool]:
    """Return matching events of a range, and whether limit or size cut them short."""
    some = limit
    if limit is not None and not query.filtered:
        # Positions have no holes, so a limit on events is a range of positions. A database
        # without statistics would misjudge how many rows the whole range holds.
        after, until = _narrow(after, until, limit, backwards=query.backwards)
        some = None
    statement = _statement(driver, query, after, until)
    return ([], False) if statement is None else _collect(driver, statement, limit, some)


def _collect(
    driver: Driver, statement: _Statement, limit: int | None, some: int | None
) -> tuple[list[Event], bool]:
    """Return a statement's events, and whether limit or size cut them short.

    ``some`` is the limit that the database has to keep, ``None`` where the range does.
    """
    events: list[Event] = []
    size = 0
    # What ends a commit that a page has begun is never cut short.
    bound = PAGE_BYTES if limit is not None else UNBOUNDED
    add = events.append
    for event in starmap(Event, driver.events(*statement, some, bound)):
        add(event)
        if data := event.raw_data:
            size += len(data)
        if metadata := event.raw_metadata:
            size += len(metadata)
        if size >= bound:
            return events, True
    return events, limit is not None and len(events) >= limit


def _narrow(after: int, until: int, limit: int, *, backwards: bool) -> tuple[int, int]:
    return (max(after, until - limit), until) if backwards else (after, min(until, after + limit))
