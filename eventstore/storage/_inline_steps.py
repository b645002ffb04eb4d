"""Bringing inline projections up to a long log, beside the writers of other processes.

A projection that is new, or far behind, is brought up a few events at a time. Each step is a
transaction of its own, with the checkpoint in it: a process that is killed goes on where it was,
and on SQLite other writers get their turns in between. On PostgreSQL a step does not lock the
log's head at all. What is left for the transaction that appends is a few events.

A projection whose tables hold rows of another version is built beside them
(:mod:`eventstore.storage._view_builds`): its readers see the old rows until then.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING

from eventstore.errors import (
    EventStoreError,
    ProjectionError,
    ProjectionGoneError,
    ProjectionTableError,
    ProjectionVersionError,
    StorageError,
)
from eventstore.log.inline_projection import can_rebuild
from eventstore.storage._inline import (
    REST_EVENTS,
    ViewBehindError,
    apply_page,
    begin_step,
    catch_up_inline,
    read_cursor,
)
from eventstore.storage._step_size import Progress, StepSize
from eventstore.storage._view_builds import clear_leftovers, compute_beside, has_leftovers
from eventstore.storage.reading import read_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.inline_view import InlineView
    from eventstore.log.operations import Head
    from eventstore.storage._view_builds import Place
    from eventstore.storage.driver import Driver

log = logging.getLogger(__name__)


def set_up(views: Sequence[InlineView], limited: Sequence[InlineView], driver: Driver) -> bool:
    """Make the tables of projections; return whether they are at the head, with nothing left over.

    ``limited`` are the same ones, with the limit of one transaction.
    """
    driver.lock_schema()
    for view in views:
        try:
            view.projection.setup(driver.connection)
        except ProjectionVersionError as error:
            view.step_aside(error)
    return bring_to_head(driver, limited) and not any(has_leftovers(driver, v) for v in views)


def mend(place: Place, views: Sequence[InlineView], error: EventStoreError) -> None:
    """Make anew what was removed of projections while the log was open, after ``error``.

    Raises ``error`` where nothing of them is missing, and ProjectionTableError where a table was
    altered: the event that could not be applied is not at fault.
    """
    if not views or not _may_miss_tables(error):
        raise error
    if not place.step(partial(_make_missing, views)) and not isinstance(error, ProjectionGoneError):
        raise error
    log.warning("%s; it is computed anew", error)
    bring_up(place, views)


def _may_miss_tables(error: EventStoreError) -> bool:
    if isinstance(error, StorageError):
        # Such as of a statement that a projection has given to the append to execute.
        return type(error) is StorageError and not (error.transient or error.timed_out)
    return isinstance(error, ProjectionError | ProjectionGoneError | ProjectionTableError)


def _make_missing(views: Sequence[InlineView], driver: Driver) -> bool:
    """Make checkpoints and first tables; return whether a projection has to be computed again."""
    driver.lock_schema()
    missing = False
    for view in views:
        try:
            view.projection.setup(driver.connection)
        except ProjectionVersionError as error:
            view.step_aside(error)
        else:
            missing = missing or _is_outdated(driver, view)
    return missing


def bring_up(place: Place, views: Sequence[InlineView]) -> None:
    """Bring each projection to a head that is at most so many events away by now.

    Those whose tables are of a newer version stay as they are.
    """
    for view in views:
        try:
            clear_leftovers(place, view)
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
    steps, progress = _Steps(view, place.step_seconds), Progress(view.name)
    at, left, least = -1, REST_EVENTS + 1, math.inf
    while not steps.size.leaves_little(left):
        before = at
        try:
            at, left = place.step(steps.take if at >= 0 else steps.look)
        except (ViewBehindError, ProjectionVersionError) as error:
            if isinstance(error, ProjectionVersionError) and error.stored > error.mine:
                raise
            compute_beside(place, view)
            at = -1
            continue
        if at <= before:
            # It keeps no checkpoint, and would begin with the same events each time.
            place.step(partial(_whole, view))
            return
        progress.report(left)
        if left < least:
            # Only where it gains: those who wait may append faster than a slow handler applies.
            least = left
            place.give_way(steps.size.seconds)


def _whole(view: InlineView, driver: Driver) -> None:
    """Apply all that is left, while the head is locked."""
    catch_up_inline(driver, view, read_head(driver, lock=True), whole=True)


class _Steps:
    """The steps that bring one projection up; each is called in a transaction of its own.

    They apply whole commits to tables that have once been at the head. The first computation may
    stop inside a commit, which can be far larger than a step.
    """

    def __init__(self, view: InlineView, seconds: float) -> None:
        self._view = view
        self._reached = 0
        self.size = StepSize(seconds)

    def look(self, driver: Driver) -> tuple[int, int]:
        """Take a step where the tables are those of this version and all there."""
        if _is_outdated(driver, self._view):
            read_cursor(driver, self._view, 0)  # Raises ProjectionVersionError for another version.
            raise ViewBehindError
        return self.take(driver)

    def take(self, driver: Driver) -> tuple[int, int]:
        """Apply some events; return the position before them, and how many are left.

        Raises ViewBehindError where the projection has to be computed anew, hidden.
        """
        view = self._view
        may_reset = not can_rebuild(view.projection)
        head, at = begin_step(driver, view, self.size.begin, may_reset=may_reset)
        if at < head.first_position - 1:
            catch_up_inline(driver, view, head, whole=True)
            return at, 0
        if at >= head.position:
            return at, 0
        reached = self._apply_page(driver, head, at)
        self.size.adapt(max(1, reached - at))
        return at, head.position - reached

    def _apply_page(self, driver: Driver, head: Head, at: int) -> int:
        view, whole = self._view, not self._is_first_computation(driver, at)
        reached, emptied = apply_page(driver, view, head, at, self.size.events, whole_commits=whole)
        if emptied:
            if can_rebuild(view.projection):
                raise ViewBehindError
            catch_up_inline(driver, view, head, whole=True)
            return head.position
        if not whole:
            self._reached = reached
        return reached

    def _is_first_computation(self, driver: Driver, at: int) -> bool:
        """Whether the tables have never been at the head, as far as their position tells.

        Where the process was killed, only a position inside a commit tells it.
        """
        if not can_rebuild(self._view.projection):
            return False
        if at == self._reached:
            return True
        row = driver.row("SELECT commit_position FROM event WHERE position = ?", (at,))
        return row is not None and row[0] != at
