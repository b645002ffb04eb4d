"""Inline projections: brought up to the log within a transaction that appends to it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from eventstore.errors import (
    EventStoreError,
    HistoryGoneError,
    ProjectionError,
    ProjectionVersionError,
)
from eventstore.log.inline_projection import (
    archive_advice,
    can_rebuild,
    can_start_from_kept,
    is_named_by_trims,
)
from eventstore.log.operations import Query
from eventstore.log.redaction import REDACTIONS
from eventstore.storage.kept_views import check_start
from eventstore.storage.pages import read_page
from eventstore.storage.reading import check_cursor, read_head
from eventstore.storage.transient_errors import is_database_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from eventstore.log.events import Cursor, Event
    from eventstore.log.inline_view import InlineView
    from eventstore.log.operations import Head
    from eventstore.storage.driver import Driver


REST_EVENTS: Final = 200
"""Events that a transaction which holds the writers' turn applies at the most, where it can be
avoided: the rest is applied before, in transactions of its own."""


class ViewBehindError(Exception):
    """A projection has to be brought up in transactions of its own, before this one."""


def catch_up_inline(driver: Driver, view: InlineView, head: Head, *, whole: bool = False) -> bool:
    """Bring an inline projection up to ``head``, inside the caller's transaction.

    It is behind where a process without this projection has appended. Where the events that it
    lacks were trimmed, it is computed again from the kept ones, if it can be. Returns False where
    its tables are of a newer version and the store goes on without it. Raises ViewBehindError
    where more events are to be applied than the view's limit, unless ``whole``.
    """
    limited = view.most is not None and not whole
    try:
        at = inline_position(driver, view, head, may_reset=not limited)
    except ProjectionVersionError as error:
        if error.stored < error.mine:
            if limited:
                raise ViewBehindError from error
            raise
        view.step_aside(error)
        return False
    view.resume()
    if limited and view.most is not None and head.position - at > view.most:
        raise ViewBehindError
    while at < head.position:
        page = read_page(
            driver, Query(after=at, until=head.position, whole_commits=True, kept=True)
        )
        apply_inline(driver, view, page.events, page.through)
        at = page.through.position
        driver.keep_alive()
        if redacts(page.events):
            at = inline_position(driver, view, head)
    return True


def begin_step(
    driver: Driver, view: InlineView, begin: Callable[[], None], *, may_reset: bool = True
) -> tuple[Head, int]:
    """Wait for the turn to bring a projection up; return the head and the projection's position.

    ``begin`` is called once the turn has come. See :func:`inline_position`.
    """
    # Waits for the row of the checkpoint: what is read afterwards is at least as new.
    read_cursor(driver, view, 0)
    begin()
    head = read_head(driver)
    return head, inline_position(driver, view, head, may_reset=may_reset)


def apply_page(
    driver: Driver, view: InlineView, head: Head, at: int, most: int, *, whole_commits: bool
) -> tuple[int, bool]:
    """Apply the events after ``at``, so many at the most; return the position of the last one.

    The second result is whether a redaction among them has emptied the tables, which are to be
    computed from the first event on.
    """
    query = Query(after=at, until=head.position, whole_commits=whole_commits, kept=True, limit=most)
    page = read_page(driver, query)
    apply_inline(driver, view, page.events, page.through)
    reached = page.through.position
    return reached, redacts(page.events) and read_cursor(driver, view, reached) is None


def inline_position(driver: Driver, view: InlineView, head: Head, *, may_reset: bool = True) -> int:
    """Return a projection's position; 0 where it has to be computed from the kept events.

    It is emptied then, or ViewBehindError is raised where it may not be emptied here. Raises
    ProjectionVersionError where the tables are of another version.
    """
    cursor = read_cursor(driver, view, head.position)
    if cursor is not None:
        check_cursor(driver, head, cursor)
    at = cursor.position if cursor else 0
    if at < head.first_position - 1:
        projection = view.projection
        if not can_start_from_kept(projection):
            raise HistoryGoneError(at, head.first_position, archive_advice(view.name))
        if is_named_by_trims(projection):
            check_start(driver, head.first_position, view.name)
        if not may_reset and can_rebuild(projection):
            raise ViewBehindError
        projection.reset(driver.connection)
        at = 0
    return at


def read_cursor(driver: Driver, view: InlineView, position: int) -> Cursor | None:
    """Return a projection's checkpoint; ``position`` is named where its own code fails."""
    try:
        return view.projection.cursor(driver.connection)
    except EventStoreError:
        raise
    except BaseException as error:
        if is_database_failure(error):
            raise
        raise ProjectionError(view.name, position, repr(error)) from error


def ask_checkpoints(driver: Driver, views: Sequence[InlineView]) -> None:
    """Ask for the checkpoints together with the next statement."""
    for view in views:
        if view.stated is not None:
            driver.ahead(view.stated.ask_checkpoint(driver.dialect))


def is_at(driver: Driver, view: InlineView, cursor: Cursor) -> bool:
    """Whether a projection is known to be at ``cursor``, its checkpoint's row locked."""
    if view.stated is None:
        return False
    row = driver.row(*view.stated.ask_checkpoint(driver.dialect))
    if row is None or not view.stated.is_checkpoint(row, cursor):
        return False
    view.resume()
    return True


def apply_appended(
    driver: Driver, view: InlineView, events: Sequence[Event], cursor: Cursor
) -> None:
    """Apply what the transaction appends to a projection that is at the head before it."""
    stated = view.stated
    if stated is None:
        apply_inline(driver, view, events, cursor)
        return
    with _blaming(view, events, cursor):
        wanted = None if redacts(events) else stated.append_statements(driver.dialect, events)
        if wanted is None and not stated.handle_appended(driver.connection, events):
            return
    for statement in (*(wanted or ()), stated.move_checkpoint(cursor)):
        driver.defer(*statement)


def apply_inline(driver: Driver, view: InlineView, events: Sequence[Event], cursor: Cursor) -> None:
    """Apply events to a projection; raise ProjectionError for what its own code raises."""
    with _blaming(view, events, cursor):
        view.projection.apply(driver.connection, events, cursor)


@contextmanager
def _blaming(view: InlineView, events: Sequence[Event], cursor: Cursor) -> Iterator[None]:
    try:
        yield
    except EventStoreError:
        raise
    except BaseException as error:
        if is_database_failure(error):
            raise
        # A projection's code is the user's own: every error of it concerns this projection.
        first = events[0].position if events else cursor.position
        raise ProjectionError(view.name, first, repr(error)) from error


def redacts(events: Sequence[Event]) -> bool:
    """Whether one of the events is a redaction, which takes content out of projections."""
    return any(event.stream == REDACTIONS for event in events)
