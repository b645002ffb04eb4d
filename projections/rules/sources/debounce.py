"""Deciding when a directory has come to rest, so that one edit is one change.

Editors save in several steps (truncate and write, delete and create, write and rename) and
a checkout touches many files. What looks like an edit in progress (a file gone, empty or
broken) waits longer than what is whole.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class DebounceTimes:
    """How long, in seconds, a directory must not change before a change is committed.

    ``whole`` is for changes that are complete by themselves, ``incomplete`` for files that are
    gone, empty or broken. ``longest`` limits one wait for rest and for git's lock: after it,
    only the files that have come to rest are taken, and none while git holds its lock.
    """

    whole: float = 0.01
    incomplete: float = 0.2
    longest: float = 10.0


@dataclass
class Debounce:
    """One wait for rest. ``clock`` gives seconds that only rise.

    It begins with the end of the first look: a look at many files may itself take long.
    ``overdue`` is true once the wait has ended by its limit, without rest.
    """

    times: DebounceTimes
    clock: Callable[[], float] = time.monotonic
    overdue: bool = False
    _last: Any = None
    _since: float = 0.0
    _began: float | None = None

    def wait(
        self,
        seen: Any,
        *,
        incomplete: bool,
        busy: bool,
        at_least: float | None = None,
        again: bool = False,
    ) -> float:
        """Return the seconds to wait before the next look; 0 once the directory is at rest.

        ``seen`` is what the latest look found, compared with the look before. ``busy`` is
        true while a tool has announced more changes, or where a file changed while it was
        read. ``at_least`` is a rest that this change needs besides, in seconds. ``again`` says that
        the look was told of a change, although what it found may be what the look before found.
        """
        now = self.clock()
        if self._began is None:
            self._began = self._since = now
        if again or seen != self._last:
            self._last, self._since = seen, now
        needed = max(self.times.incomplete if incomplete else self.times.whole, at_least or 0.0)
        remaining = needed if busy else max(0.0, self._since + needed - now)
        if remaining > 0 and now - self._began >= self.times.longest:
            self.overdue = True
            return 0.0
        return remaining


class FileRest:
    """Since when each file has been as it is now. ``clock`` gives seconds that only rise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._files: dict[str, tuple[Any, float]] = {}
        self._seen: Mapping[str, Any] | None = None

    def see(self, files: Mapping[str, Any]) -> None:
        """Take in what a look has found, by path; the same object is not looked at again."""
        if files is self._seen:
            return
        now, known = self._clock(), self._files
        self._seen = files
        self._files = {
            path: before
            if (before := known.get(path)) is not None and (before[0] is file or before[0] == file)
            else (file, now)
            for path, file in files.items()
        }

    def settled(self, seconds: float) -> set[str]:
        """Return the paths of the files that have not changed for so many seconds."""
        limit = self._clock() - seconds
        return {path for path, (_, since) in self._files.items() if since <= limit}
