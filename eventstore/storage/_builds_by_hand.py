"""Building and swapping a version of a projection by hand, while the log's store is open."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.errors import ConfigError
from eventstore.log.inline_projection import BuildGoneError, can_build, can_rebuild
from eventstore.storage._step_size import MOST_TRIES
from eventstore.storage._view_builds import Building, begin_build, compute_beside, discarding
from eventstore.system.event_loop import check_cancelled

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from eventstore.log.inline_view import InlineView
    from eventstore.storage._view_builds import HiddenTables, Place
    from eventstore.storage.driver import Driver

T = TypeVar("T")


class OpenPlace:
    """A log's database while its store is open: ``lock`` keeps other writes of the process away.

    Each step ends where the caller was cancelled.
    """

    def __init__(self, place: Place, lock: AbstractContextManager[Any]) -> None:
        self._place = place
        self._lock = lock
        self.step_seconds = place.step_seconds

    def step(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes."""
        check_cancelled()
        with self._lock:
            return self._place.step(function)

    def give_way(self, seconds: float) -> None:
        """Pause where others wait for their turn to write."""
        with self._lock:
            self._place.give_way(seconds)

    def hidden(self) -> AbstractContextManager[HiddenTables] | None:
        """Give a session for temporary tables."""
        return self._place.hidden()


def build_by_hand(place: Place, view: InlineView, tell: Callable[[int], None]) -> bool:
    """Build a version beside the live one, up to the head; return whether there is one to build.

    ``tell`` is called with how many events are left. What is built stays where this is cancelled or
    killed, and the next one of that version goes on with it. Raises ConfigError for tables that
    cannot be built beside others, and ProjectionVersionError where a newer version is live.
    """
    projection = view.projection
    if not place.step(partial(_is_needed, view)):
        return False
    if not can_build(projection) or not place.step(partial(begin_build, projection)):
        raise ConfigError(
            f"projection {view.name!r} cannot be built beside its live version, for its tables "
            "cannot be renamed (see docs/projections.md): open the log with it instead, and it is "
            "computed in temporary tables"
        )
    building, least, tries = Building(place, view, projection), math.inf, 0
    try:
        with discarding(place, view, projection):
            while (left := building.step()) and tries < MOST_TRIES:
                tell(left)
                # Others may append faster than a slow handler applies.
                tries += left >= least
                least = min(least, left)
    except BuildGoneError:
        return place.step(partial(_is_needed, view)) and build_by_hand(place, view, tell)
    tell(0)
    return True


def swap_by_hand(place: Place, view: InlineView, wait: float | None) -> bool:
    """Build what is missing of a version, and put it in the live one's place.

    Returns whether the live one was another version. Raises ProjectionHeldError where readers hold
    that for ``wait`` seconds; what is built stays.
    """
    if not place.step(partial(_is_needed, view)):
        return False
    while place.step(partial(_is_needed, view)):
        compute_beside(place, view, wait)
    return True


def _is_needed(view: InlineView, driver: Driver) -> bool:
    """Whether the live version is an older one, or lacks a table; raise where it is a newer one."""
    projection = view.projection
    if not can_rebuild(projection):
        raise ConfigError(f"projection {view.name!r} cannot be computed beside its live version")
    driver.lock_schema()
    projection.setup(driver.connection)
    return projection.outdated(driver.connection)


class BuildsByHand(ABC):
    """What a backend does by hand with versions of projections; it is the place itself."""

    step_seconds: float
    _writing: threading.Lock

    @abstractmethod
    def step(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes."""

    @abstractmethod
    def give_way(self, seconds: float) -> None:
        """Pause after a step that took so long, where others wait for their turn to write."""

    @abstractmethod
    def hidden(self) -> AbstractContextManager[HiddenTables] | None:
        """Give a session for temporary tables; ``None`` where there is one session only."""

    def build_view(self, view: InlineView, tell: Callable[[int], None]) -> bool:
        """Build a version of a projection beside the live one; return whether there is one."""
        return build_by_hand(OpenPlace(self, self._writing), view, tell)

    def swap_view(self, view: InlineView, wait: float | None) -> bool:
        """Put a version in the live one's place; return whether that was another one."""
        return swap_by_hand(OpenPlace(self, self._writing), view, wait)
