"""Computing a new version of an inline projection while readers see the old one.

It is built in steps in the database, each a transaction with its checkpoint: what a killed process
has built is gone on with. One short transaction swaps the versions. Where the projection or the
database does not allow that, it is computed in temporary tables, and their rows are copied.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from eventstore.errors import EventStoreError, StorageError
from eventstore.log.inline_projection import BuildGoneError, can_build, can_rebuild
from eventstore.storage import _inline
from eventstore.storage._step_size import Progress, StepSize
from eventstore.storage.held_wait import HeldError, HeldWait
from eventstore.storage.reading import read_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from eventstore.log.inline_projection import BuildableProjection, RebuildableProjection
    from eventstore.log.inline_view import InlineView
    from eventstore.storage.driver import Driver

log = logging.getLogger(__name__)
T = TypeVar("T")

HIDDEN_STEP: Final = 1_000
"""Events of a step in temporary tables, for which no writer waits."""


BUILD_SECONDS: Final = 0.02
"""How long a step of a build should take, besides giving the tables their names and taking them."""


class HiddenTables(Protocol):
    """A session whose statements find its temporary tables first."""

    def step(self, function: Callable[[Driver], int]) -> int:
        """Call ``function`` in a transaction for which no writer waits."""

    def finish(self, rest: Callable[[Driver], int], replace: Callable[[Driver], None]) -> None:
        """Call both in one transaction that holds the writers' turn.

        Temporary tables are found first in ``rest``; on PostgreSQL last in ``replace``.
        """


class Place(Protocol):
    """The log's database. A step should take ``step_seconds``."""

    step_seconds: float

    def step(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes."""

    def give_way(self, seconds: float) -> None:
        """Pause after a step that took so long, where others wait for their turn to write."""

    def hidden(self) -> AbstractContextManager[HiddenTables] | None:
        """Give a session for temporary tables; ``None`` where there is one session only."""


def clear_leftovers(place: Place, view: InlineView) -> None:
    """Remove what is left of older versions and of their builds, a few rows at a time."""
    size = StepSize(place.step_seconds)
    while place.step(partial(_clear_step, view, size)):
        place.give_way(size.seconds)


def has_leftovers(driver: Driver, view: InlineView) -> bool:
    """Whether something is left of older versions of a projection, or of their builds."""
    projection = view.projection
    return can_build(projection) and projection.build_beside(driver.connection).leftovers()


def _clear_step(view: InlineView, size: StepSize, driver: Driver) -> bool:
    projection = view.projection
    if not can_build(projection):
        return False
    build = projection.build_beside(driver.connection)
    if not build.leftovers():
        return False
    size.begin()
    more = build.clear(size.events)
    size.adapt(size.events)
    return more


def compute_beside(place: Place, view: InlineView, wait: float | None = None) -> None:
    """Compute a projection where its readers do not see it, then put it in the old one's place.

    Raises ProjectionHeldError where readers hold the old one for ``wait`` seconds.
    """
    projection = view.projection
    if not can_build(projection) or not place.step(partial(begin_build, projection)):
        _compute_hidden(place, view)
        return
    log.info("building projection %r anew; its readers see the old one until then", view.name)
    try:
        with discarding(place, view, projection):
            Building(place, view, projection, wait).run()
    except BuildGoneError:
        return  # Another process has finished it, or discarded it: that is looked at next.
    clear_leftovers(place, view)


@contextmanager
def discarding(place: Place, view: InlineView, projection: BuildableProjection) -> Iterator[None]:
    """Remove the build where the block fails, unless the database did; the old version stays."""
    try:
        yield
    except EventStoreError as error:
        if not isinstance(error, StorageError):
            place.step(partial(_discard, projection))
            clear_leftovers(place, view)
        raise


def begin_build(projection: BuildableProjection, driver: Driver) -> bool:
    """Begin a build, or go on with it; return whether the tables can be built and swapped."""
    driver.lock_schema()
    return projection.build_beside(driver.connection).begin()


def _discard(projection: BuildableProjection, driver: Driver) -> None:
    driver.lock_schema()
    projection.build_beside(driver.connection).discard()


class Building:
    """One process' part in a build; several of one version take its steps in turn."""

    def __init__(
        self,
        place: Place,
        view: InlineView,
        projection: BuildableProjection,
        wait: float | None = None,
    ) -> None:
        self._place, self._view, self._projection = place, view, projection
        self._size = StepSize(max(place.step_seconds, BUILD_SECONDS))
        self._seconds = 0.0
        self._least = math.inf
        self._held = HeldWait(view.name, wait)

    def run(self) -> None:
        """Take steps until little is left; then apply that, and swap."""
        progress = Progress(self._view.name)
        while True:
            while not self._size.leaves_little(left := self.step()):
                progress.report(left)
            try:
                self._place.step(self._finish)
            except _inline.ViewBehindError:
                continue
            except HeldError as held:
                time.sleep(self._held.pause(held.pids))
                continue
            return

    def step(self) -> int:
        """Take a step, and give way to those who wait; return how many events are left."""
        left = self._place.step(self._step)
        if left < self._least:
            # Only where it gains: those who wait may append faster than a slow handler applies.
            self._least = left
            self._place.give_way(self._seconds)
        return left

    def _step(self, driver: Driver) -> int:
        """Apply some events to the new tables; return how many are left."""
        began, build = time.monotonic(), self._projection.build_beside(driver.connection)
        with build.inside():
            left = self._apply(driver)
        self._seconds = time.monotonic() - began
        return left

    def _apply(self, driver: Driver) -> int:
        view, size = self._view, self._size
        head, at = _inline.begin_step(driver, view, size.begin)
        if at < head.first_position - 1:
            # What trimming has kept has to be applied as a whole, so that a next trim leaves it.
            _inline.catch_up_inline(driver, view, head, whole=True)
            return 0
        if at >= head.position:
            return 0
        reached, emptied = _inline.apply_page(
            driver, view, head, at, size.events, whole_commits=False
        )
        size.adapt(max(1, reached - at))
        return head.position if emptied else head.position - reached

    def _finish(self, driver: Driver) -> None:
        """Apply the rest and swap, while the head is locked."""
        driver.lock_schema()
        head = read_head(driver, lock=True)
        build = self._projection.build_beside(driver.connection)
        with build.inside():
            _inline.catch_up_inline(driver, self._view.limited(self._size.rest()), head)
        if not build.swap(self._held.patience):
            raise HeldError(build.holders)


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
        size, progress = StepSize(), Progress(view.name)
        while True:
            while not size.leaves_little(left := session.step(partial(_hidden_step, view, size))):
                progress.report(left)
            try:
                session.finish(partial(_rest, view, size.rest()), partial(_take_over, projection))
            except _inline.ViewBehindError:
                continue
            return


def _create(projection: RebuildableProjection, driver: Driver) -> int:
    projection.create(driver.connection)
    return 0


def _hidden_step(view: InlineView, size: StepSize, driver: Driver) -> int:
    size.begin()
    head = read_head(driver)
    cursor = _inline.read_cursor(driver, view, 0)
    at = cursor.position if cursor is not None else 0
    if at < head.first_position - 1:
        # What trimming has kept has to be applied as a whole, so that a next trim leaves it.
        _inline.catch_up_inline(driver, view, head, whole=True)
        return 0
    if at >= head.position:
        return 0
    reached, emptied = _inline.apply_page(driver, view, head, at, HIDDEN_STEP, whole_commits=True)
    size.adapt(max(1, reached - at))
    return head.position if emptied else head.position - reached


def _rest(view: InlineView, most: int, driver: Driver) -> int:
    driver.lock_schema()
    head = read_head(driver, lock=True)
    _inline.catch_up_inline(driver, view.limited(most), head)
    return 0


def _take_over(projection: RebuildableProjection, driver: Driver) -> None:
    projection.take_over(driver.connection)


def _compute_here(view: InlineView, driver: Driver) -> int:
    """Compute a projection again in one transaction: no other process has this database."""
    head = read_head(driver, lock=True)
    projection = view.projection
    if can_rebuild(projection) and hasattr(projection, "reset"):
        projection.reset(driver.connection)
    _inline.catch_up_inline(driver, view, head, whole=True)
    return 0
