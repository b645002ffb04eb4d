"""Bringing inline projections up to a long log, beside the writers of other processes.

A projection that is new, or far behind, is brought up a few events at a time. Each step is a
transaction of its own, with the checkpoint in it: a process that is killed goes on where it was,
and on SQLite other writers get their turns in between. On PostgreSQL a step does not lock the
log's head at all. What is left for the transaction that appends is a few events.

A projection whose tables hold rows of another version is computed in temporary tables, without
any turn: its readers see the old rows until one transaction replaces them.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from eventstore.errors import ProjectionVersionError
from eventstore.log.inline_projection import can_rebuild
from eventstore.log.operations import Query
from eventstore.storage._inline import (
    REST_EVENTS,
    ViewBehindError,
    apply_inline,
    catch_up_inline,
    inline_position,
    read_cursor,
    redacts,
)
from eventstore.storage.pages import read_page
from eventstore.storage.reading import read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from eventstore.log.inline_projection import RebuildableProjection
    from eventstore.log.inline_view import InlineView
    from eventstore.log.operations import Head
    from eventstore.storage.driver import Driver

log = logging.getLogger(__name__)
T = TypeVar("T")

STEP_SECONDS: Final = 0.02
"""How long a step should take: other writers of a SQLite file wait for it."""

FIRST_STEP: Final = 64
LARGEST_STEP: Final = 2_000
HIDDEN_STEP: Final = 1_000
"""Events of a step: of the first one, at the most, and in temporary tables."""

MOST_TRIES: Final = 20
"""Steps, after few events are left, until even fewer are."""

REPORT_SECONDS: Final = 5.0
"""Seconds between two lines of progress in the log of the program."""


class HiddenTables(Protocol):
    """A session whose statements find its temporary tables first."""

    def step(self, function: Callable[[Driver], int]) -> int:
        """Call ``function`` in a transaction for which no writer waits."""

    def finish(self, rest: Callable[[Driver], int], replace: Callable[[Driver], None]) -> None:
        """Call both in one transaction that holds the writers' turn.

        Temporary tables are found first in ``rest``; on PostgreSQL last in ``replace``.
        """


class Place(Protocol):
    """The log's database."""

    def step(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes."""

    def hidden(self) -> AbstractContextManager[HiddenTables] | None:
        """Give a session for temporary tables; ``None`` where there is one session only."""


def bring_up(place: Place, views: Sequence[InlineView]) -> None:
    """Bring each projection to a head that is at most so many events away by now.

    Those whose tables are of a newer version stay as they are.
    """
    for view in views:
        try:
            _bring_up(place, view)
        except ProjectionVersionError as error:
            if error.stored < error.mine:
                raise
            view.step_aside(error)


def bring_to_head(driver: Driver, views: Sequence[InlineView]) -> bool:
    """Apply the rest while the head is locked; return False where it is too much for that."""
    head = read_head(driver, lock=True)
    try:
        for view in views:
            if _is_newer(driver, view):
                continue
            if _is_outdated(driver, view):
                return False
            catch_up_inline(driver, view, head)
    except ViewBehindError:
        return False
    return True


def _is_newer(driver: Driver, view: InlineView) -> bool:
    """Whether the tables are of a newer version, and the store goes on without the projection."""
    try:
        read_cursor(driver, view, 0)
    except ProjectionVersionError as error:
        if error.stored > error.mine:
            view.step_aside(error)
            return True
    return False


def _is_outdated(driver: Driver, view: InlineView) -> bool:
    projection = view.projection
    return can_rebuild(projection) and projection.outdated(driver.connection)


def _bring_up(place: Place, view: InlineView) -> None:
    size, progress = _StepSize(), _Progress(view.name)
    at, left = -1, REST_EVENTS + 1
    while not size.leaves_little(left):
        before = at
        try:
            at, left = place.step(partial(_step if at >= 0 else _look, view, size))
        except (ViewBehindError, ProjectionVersionError) as error:
            if isinstance(error, ProjectionVersionError) and error.stored > error.mine:
                raise
            _compute_hidden(place, view)
            at = -1
            continue
        if at <= before:
            # It keeps no checkpoint, and would begin with the same events each time.
            place.step(partial(_whole, view))
            return
        progress.report(left)


class _StepSize:
    """How many events a step applies, so that it takes :data:`STEP_SECONDS`."""

    def __init__(self) -> None:
        self.events = FIRST_STEP
        self._tries = 0

    def adapt(self, seconds: float, applied: int) -> None:
        """Take note of how long a step took, the wait for its turn not counted."""
        fitting = int(applied * STEP_SECONDS / max(seconds, 1e-6))
        self.events = max(1, min(LARGEST_STEP, 2 * self.events, fitting))

    def rest(self) -> int:
        """How many events the transaction that holds the writers up applies at the most.

        As many as two steps apply, until so many tries have shown that others append faster.
        """
        return REST_EVENTS if self._tries > MOST_TRIES else min(REST_EVENTS, 2 * self.events)

    def leaves_little(self, left: int) -> bool:
        """Whether what is left can be applied while the writers wait: in the time of two steps.

        So many tries at the most, because others append meanwhile; never more than
        :data:`REST_EVENTS`.
        """
        if left > REST_EVENTS:
            return False
        self._tries += 1
        return left <= self.rest()


def _whole(view: InlineView, driver: Driver) -> None:
    """Apply all that is left, while the head is locked."""
    catch_up_inline(driver, view, read_head(driver, lock=True), whole=True)


def _look(view: InlineView, size: _StepSize, driver: Driver) -> tuple[int, int]:
    """Apply some events, where the tables are those of this version and all there."""
    if _is_outdated(driver, view):
        read_cursor(driver, view, 0)  # Raises ProjectionVersionError for another version.
        raise ViewBehindError
    return _step(view, size, driver)


def _step(view: InlineView, size: _StepSize, driver: Driver) -> tuple[int, int]:
    """Apply some events; return the position before them, and how many are left.

    Raises ViewBehindError where the projection has to be computed anew, hidden.
    """
    # Waits for the row of the checkpoint: what is read afterwards is at least as new.
    read_cursor(driver, view, 0)
    began = time.monotonic()
    head = read_head(driver)
    at = inline_position(driver, view, head, may_reset=not can_rebuild(view.projection))
    if at < head.first_position - 1:
        catch_up_inline(driver, view, head, whole=True)
        return at, 0
    if at >= head.position:
        return at, 0
    reached = _apply_page(driver, view, head, at, size.events)
    size.adapt(time.monotonic() - began, max(1, reached - at))
    return at, head.position - reached


def _apply_page(driver: Driver, view: InlineView, head: Head, at: int, size: int) -> int:
    query = Query(after=at, until=head.position, whole_commits=True, kept=True, limit=size)
    page = read_page(driver, query)
    apply_inline(driver, view, page.events, page.through)
    if redacts(page.events) and read_cursor(driver, view, page.through.position) is None:
        # A redaction has emptied it: it is to be computed from the first event on.
        if can_rebuild(view.projection):
            raise ViewBehindError
        catch_up_inline(driver, view, head, whole=True)
        return head.position
    return page.through.position


def _compute_hidden(place: Place, view: InlineView) -> None:
    """Compute a projection in temporary tables, and replace what is there by them."""
    projection = view.projection
    if not can_rebuild(projection):
        raise TypeError(f"projection {view.name!r} cannot be computed beside the log")
    hidden = place.hidden()
    if hidden is None:
        place.step(partial(_compute_here, view))
        return
    log.info("computing projection %r anew; its readers see the old one until then", view.name)
    with hidden as session:
        session.step(partial(_create, projection))
        size, progress = _StepSize(), _Progress(view.name)
        while True:
            while not size.leaves_little(left := session.step(partial(_hidden_step, view, size))):
                progress.report(left)
            try:
                session.finish(partial(_rest, view, size.rest()), partial(_take_over, projection))
            except ViewBehindError:
                continue
            return


def _create(projection: RebuildableProjection, driver: Driver) -> int:
    projection.create(driver.connection)
    return 0


def _hidden_step(view: InlineView, size: _StepSize, driver: Driver) -> int:
    began = time.monotonic()
    head = read_head(driver)
    cursor = read_cursor(driver, view, 0)
    at = cursor.position if cursor is not None else 0
    if at < head.first_position - 1:
        # What trimming has kept has to be applied as a whole, so that a next trim leaves it.
        catch_up_inline(driver, view, head, whole=True)
        return 0
    if at >= head.position:
        return 0
    query = Query(after=at, until=head.position, whole_commits=True, kept=True, limit=HIDDEN_STEP)
    page = read_page(driver, query)
    apply_inline(driver, view, page.events, page.through)
    size.adapt(time.monotonic() - began, max(1, page.through.position - at))
    if redacts(page.events) and read_cursor(driver, view, head.position) is None:
        return head.position
    return head.position - page.through.position


def _rest(view: InlineView, most: int, driver: Driver) -> int:
    driver.lock_schema()
    head = read_head(driver, lock=True)
    catch_up_inline(driver, view.limited(most), head)
    return 0


def _take_over(projection: RebuildableProjection, driver: Driver) -> None:
    projection.take_over(driver.connection)


def _compute_here(view: InlineView, driver: Driver) -> int:
    """Compute a projection again in one transaction: no other process has this database."""
    head = read_head(driver, lock=True)
    projection = view.projection
    if can_rebuild(projection) and hasattr(projection, "reset"):
        projection.reset(driver.connection)
    catch_up_inline(driver, view, head, whole=True)
    return 0


class _Progress:
    """Logs how many events are left, now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due = time.monotonic() + REPORT_SECONDS

    def report(self, left: int) -> None:
        """Take note of how many events are left."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REPORT_SECONDS
            log.info("projection %r is being brought up: %d events are left", self._name, left)
