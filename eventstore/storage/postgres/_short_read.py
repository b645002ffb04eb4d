"""Reading what follows a cursor in one exchange with the server.

The statements of a page depend on each other's answers only in what is rare: a cursor that the log
does not hold, a filter, a page that ends inside a commit. So all are sent at once, with the
transaction around them whose snapshot they share, and a page of the rare kind is read as any other.
"""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Final

from eventstore.log.events import Cursor, Event
from eventstore.log.operations import Page
from eventstore.storage.pages import BY_POSITION
from eventstore.storage.reading import OWNERS, PAGE_BYTES, lost_among

if TYPE_CHECKING:
    from eventstore.log.operations import Query
    from eventstore.storage.postgres._driver import PostgresDriver

_HASH: Final = "SELECT hash FROM event WHERE position = ?"


def may_be_short(query: Query) -> bool:
    """Return whether :func:`read_short` may answer a query."""
    if query.filtered or query.backwards or query.oldest or query.expect is None:
        return False
    return query.expect.position == query.after < _end_of(query)


def _end_of(query: Query) -> int:
    """Return the last position that a page may hold."""
    end = query.after + query.limit
    return end if query.until is None else min(end, query.until)


def read_short(driver: PostgresDriver, query: Query) -> Page | None:
    """Read the page after a cursor, and commit; ``None`` where another way has to read it."""
    expect, after = query.expect, query.after
    head, (hashes, rows, *owners) = driver.read_and_commit(
        (_HASH, [after]),
        driver.whole_range(BY_POSITION, "e.position", after, _end_of(query), PAGE_BYTES),
        *driver.listed(OWNERS, [name for name, _ in query.consumers]),
    )
    if not hashes or expect != Cursor(head.log_id, after, bytes(hashes[0][0])):
        return None
    events = list(starmap(Event, rows))
    through = expect
    if events:
        last = events[-1]
        through = Cursor(head.log_id, last.position, last.hash)
        if query.whole_commits and last.commit != last.position:
            return None
    if through.position != min(_end_of(query), head.position):
        return None  # The range holds more bytes than a page may.
    return Page(events, through, head, lost=lost_among(query.consumers, *owners))
