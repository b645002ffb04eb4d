"""Where the last event of each stream of some categories is, as of a position.

Streams that change often have theirs just before the position, so the events there are looked at
first. Of the streams that are left each is searched by halves in the index of its versions, for
versions of a stream and their positions grow together. Both cost as much on a log of millions of
events as on a short one, and nothing has to be stored for it (docs/decisions/0083-moments.md).
"""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Final

from eventstore.log.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.storage.driver import Driver

PER_STREAM: Final = 8
"""Events that are looked at just before the position, for each stream that is looked for."""

MOST: Final = 65_536
"""Events that are looked at there, at the most."""

FEW: Final = 256
"""Streams that are searched one by one; more are searched with all of their category."""

_STREAMS: Final = (
    "SELECT s.id, s.name, l.position FROM stream s "
    "JOIN event l ON l.stream_id = s.id AND l.version = s.version "
    "WHERE s.name >= ? AND s.name < ?"
)

# Grouped without the index of versions, which would be read as a whole.
_JUST_BEFORE: Final = (
    "SELECT +stream_id, max(position) FROM event WHERE position > ? AND position <= ? "
    "GROUP BY +stream_id"
)

_SEARCH: Final = (
    "WITH RECURSIVE search(stream_id, low, high) AS ("
    "SELECT s.id, "
    "(SELECT min(f.version) FROM event f WHERE f.stream_id = s.id) - 1, s.version "
    "FROM stream s WHERE {} "
    "UNION ALL "
    # The wanted version is never below ``low``, which is the one before the first for none.
    "SELECT b.stream_id, CASE WHEN m.position <= ? THEN m.version ELSE b.low END, "
    "CASE WHEN m.position <= ? THEN b.high ELSE m.version - 1 END "
    "FROM search b JOIN event m ON m.stream_id = b.stream_id "
    "AND m.version = (b.low + b.high + 1) / 2 WHERE b.low < b.high) "
    "SELECT b.stream_id, e.position FROM search b "
    "JOIN event e ON e.stream_id = b.stream_id AND e.version = b.low WHERE b.low = b.high"
)
_SEARCH_ALL: Final = _SEARCH.format("s.name >= ? AND s.name < ?")
_SEARCH_ONE: Final = _SEARCH.format("s.id = ?")

_EVENTS: Final = (
    "SELECT e.position, s.name, e.version, e.type, e.commit_position, e.id, e.content, "
    "e.data, e.metadata, e.recorded_us, e.hash FROM event e JOIN stream s ON s.id = e.stream_id "
    "WHERE e.position IN ({})"
)


def read_last_positions(driver: Driver, categories: Sequence[str], until: int) -> dict[str, int]:
    """Return where the last event up to ``until`` of each stream of some categories is, by name.

    A category ends in ``/``. A stream whose events up to there were trimmed is not there.
    """
    found: dict[str, int] = {}
    later: dict[str, dict[int, str]] = {}
    for category in categories:
        later[category] = {}
        for stream_id, name, last in driver.rows(_STREAMS, _bounds(category)):
            if last <= until:
                found[name] = last
            else:
                later[category][stream_id] = name
    window = min(MOST, PER_STREAM * sum(map(len, later.values())))
    near = dict(driver.rows(_JUST_BEFORE, [until - window, until])) if window else {}
    for category, streams in later.items():
        found |= {name: near[key] for key, name in streams.items() if key in near}
        left = {key: name for key, name in streams.items() if key not in near}
        found |= {
            left[key]: at for key, at in _search(driver, category, left, until) if key in left
        }
    return found


def _search(
    driver: Driver, category: str, streams: dict[int, str], until: int
) -> Iterable[tuple[int, int]]:
    if len(streams) > FEW:
        yield from driver.rows(_SEARCH_ALL, [*_bounds(category), until, until])
        return
    for stream_id in streams:
        yield from driver.rows(_SEARCH_ONE, [stream_id, until, until])


def _bounds(category: str) -> list[str]:
    return [category, category[:-1] + "0"]  # "0" is the character after "/".


def read_events_at(driver: Driver, positions: Sequence[int]) -> list[Event]:
    """Return the events at some positions, those that are there, in any order."""
    return list(starmap(Event, driver.lookup(_EVENTS, positions)))
