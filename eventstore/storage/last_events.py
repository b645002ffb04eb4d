"""The last event of each stream of a category, as of a position.

Versions of a stream and their positions grow together, so each stream is searched by halves in the
index of its versions. That costs as much on a log of millions of events as on a short one, and
nothing has to be stored for it (docs/decisions/0083-moments.md).
"""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Final

from eventstore.log.events import Event

if TYPE_CHECKING:
    from eventstore.storage.driver import Driver

_LAST: Final = (
    "WITH RECURSIVE search(stream_id, low, high) AS ("
    # Of most streams the last event of all is the one, where the position is a recent one.
    "SELECT s.id, CASE WHEN l.position <= ? THEN s.version ELSE "
    "(SELECT min(f.version) FROM event f WHERE f.stream_id = s.id) - 1 END, s.version "
    "FROM stream s JOIN event l ON l.stream_id = s.id AND l.version = s.version "
    "WHERE s.name >= ? AND s.name < ? "
    "UNION ALL "
    # The wanted version is never below ``low``, which is the one before the first for none.
    "SELECT b.stream_id, CASE WHEN m.position <= ? THEN m.version ELSE b.low END, "
    "CASE WHEN m.position <= ? THEN b.high ELSE m.version - 1 END "
    "FROM search b JOIN event m ON m.stream_id = b.stream_id "
    "AND m.version = (b.low + b.high + 1) / 2 WHERE b.low < b.high) "
    "SELECT e.position, s.name, e.version, e.type, e.commit_position, e.id, e.content, "
    "e.data, e.metadata, e.recorded_us, e.hash FROM search b "
    "JOIN event e ON e.stream_id = b.stream_id AND e.version = b.low "
    "JOIN stream s ON s.id = b.stream_id WHERE b.low = b.high ORDER BY e.position"
)


def read_last_events(driver: Driver, category: str, until: int) -> list[Event]:
    """Return the last event up to ``until`` of each stream of a category, in position order.

    ``category`` ends in ``/``. Of a stream whose events up to there were trimmed there is none.
    """
    bounds = [category, category[:-1] + "0"]  # "0" is the character after "/".
    return list(starmap(Event, driver.rows(_LAST, [until, *bounds, until, until])))
