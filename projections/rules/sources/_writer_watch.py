"""Which files are still being written, so that half of one never becomes a rule."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.system.file_writers import is_open_for_writing

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from eventstore.system.stat_cache import FileStamp

IDLE_NS: Final = 10_000_000_000
"""A file that is open for writing, but was not written for this long, is taken as it is."""

GROWING_NS: Final = 500_000_000
"""How long a growing file must rest where the system does not tell who has it open."""

CLOSED_GROWTHS: Final = 2
"""How often a file that no program has open may have grown in a row without having to rest."""


class _Growth(NamedTuple):
    """A file's size when it was last seen, and how often in a row it had grown by then."""

    size: int
    times: int
    changed_ns: int


class WriterWatch:
    """Judges files that are about to become rules.

    A file is being written while a program has it open for writing and uses it. Where that is
    not known, a new or grown file must rest; and so must one that grows again and again, because
    a shell script opens and closes it for each line.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Growth] = {}

    def is_being_written(self, path: Path, key: str, stamp: FileStamp) -> bool:
        """Whether to wait with the file at ``path``; ``key`` is its name for later calls."""
        changed_ns = max(stamp.mtime_ns, stamp.ctime_ns)
        growths = self._growths(key, stamp.size, changed_ns)
        age_ns = time.time_ns() - changed_ns
        if age_ns > IDLE_NS:
            return False
        is_open = is_open_for_writing(path)
        if is_open:
            return True
        return growths > (CLOSED_GROWTHS if is_open is False else 0) and age_ns < GROWING_NS

    def retain(self, keys: Collection[str]) -> None:
        """Forget all other files."""
        self._seen = {key: seen for key, seen in self._seen.items() if key in keys}

    def _growths(self, key: str, size: int, changed_ns: int) -> int:
        before = self._seen.get(key)
        if before is None:
            times = 1
        elif size > before.size:
            close = changed_ns - before.changed_ns < 2 * GROWING_NS
            times = before.times + 1 if close else 1
        elif changed_ns == before.changed_ns:
            times = before.times
        else:
            times = 0
        self._seen[key] = _Growth(size, times, changed_ns)
        return times
