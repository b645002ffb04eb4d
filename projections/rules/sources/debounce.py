"""Deciding when a directory has come to rest, so that one edit is one change.

Editors save in several steps (truncate and write, delete and create, write and rename) and
a checkout touches many files. What looks like an edit in progress (a file gone, empty or
broken) waits longer than what is whole.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class DebounceTimes:
    """How long, in seconds, a directory must not change before a change is committed.

    ``whole`` is for changes that are complete by themselves, ``incomplete`` for files that are
    gone, empty or broken. A directory that never rests is taken as it is after ``longest``.
    """

    whole: float = 0.01
    incomplete: float = 0.2
    longest: float = 10.0


@dataclass
class Debounce:
    """One wait for rest. ``clock`` gives seconds that only rise."""

    times: DebounceTimes
    clock: Callable[[], float] = time.monotonic
    _last: Any = None
    _since: float = field(init=False)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._since = self._began = self.clock()

    def wait(self, seen: Any, *, incomplete: bool, busy: bool) -> float:
        """Return the seconds to wait before the next look; 0 once the directory is at rest.

        ``seen`` is what the latest look found, compared with the look before. ``busy`` is
        true while a tool has announced more changes, or where a file changed while it was
        read.
        """
        now = self.clock()
        if seen != self._last:
            self._last, self._since = seen, now
        if now - self._began >= self.times.longest:
            return 0.0
        needed = self.times.incomplete if incomplete else self.times.whole
        if busy:
            return needed
        return max(0.0, self._since + needed - now)
