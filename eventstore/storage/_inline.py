"""Inline projections: brought up to the log within a transaction that appends to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError, HistoryGoneError, ProjectionError
from eventstore.log.inline_projection import archive_advice, can_start_from_kept
from eventstore.log.operations import Query
from eventstore.log.redaction import REDACTIONS
from eventstore.storage.pages import read_page
from eventstore.storage.reading import check_cursor
from eventstore.storage.transient_errors import is_database_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Cursor, Event
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.operations import Head
    from eventstore.storage.driver import Driver


def catch_up_inline(driver: Driver, projection: InlineProjection, head: Head) -> None:
    """Bring an inline projection up to ``head``, inside the caller's transaction.

    It is behind where a process without this projection has appended. Where the events that it
    lacks were trimmed, it is computed again from the kept ones, if it can be.
    """
    at = _inline_position(driver, projection, head)
    while at < head.position:
        page = read_page(
            driver, Query(after=at, until=head.position, whole_commits=True, kept=True)
        )
        apply_inline(driver, projection, page.events, page.through)
        at = page.through.position
        driver.keep_alive()
        if redacts(page.events):
            at = _inline_position(driver, projection, head)


def _inline_position(driver: Driver, projection: InlineProjection, head: Head) -> int:
    """Return a projection's position; 0 where it has to be computed from the kept events."""
    try:
        cursor = projection.cursor(driver.connection)
    except EventStoreError:
        raise
    except BaseException as error:
        if is_database_failure(error):
            raise
        raise ProjectionError(projection.name, head.position, repr(error)) from error
    if cursor is not None:
        check_cursor(driver, head, cursor)
    at = cursor.position if cursor else 0
    if at < head.first_position - 1:
        if not can_start_from_kept(projection):
            raise HistoryGoneError(at, head.first_position, archive_advice(projection.name))
        projection.reset(driver.connection)
        at = 0
    return at


def apply_inline(
    driver: Driver, projection: InlineProjection, events: Sequence[Event], cursor: Cursor
) -> None:
    """Apply events to a projection; raise ProjectionError for what its own code raises."""
    try:
        projection.apply(driver.connection, events, cursor)
    except EventStoreError:
        raise
    except BaseException as error:
        if is_database_failure(error):
            raise
        # A projection's code is the user's own: every error of it concerns this projection.
        first = events[0].position if events else cursor.position
        raise ProjectionError(projection.name, first, repr(error)) from error


def redacts(events: Sequence[Event]) -> bool:
    """Whether one of the events is a redaction, which takes content out of projections."""
    return any(event.stream == REDACTIONS for event in events)
