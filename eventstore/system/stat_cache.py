"""What a file held when it had a certain status, for as long as the status proves it.

A file system takes a file's times from a clock that ticks every 1 to 10 ms (some once a second
or in two). A file that was read just after it changed may change again within the same tick and
look the same. What was read so early is therefore not trusted later: the file is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable

T = TypeVar("T")

YOUNG_NS: Final = 50_000_000
"""A file that changed within this long may change again without a new time."""

COARSE_NS: Final = 2_500_000_000
"""The same where the time is a whole second: some network file systems tick once a second,
FAT once in two."""


class FileStamp(NamedTuple):
    """What changes with a file's content, as far as its status can tell. Times in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStamp:
        """Return the stamp of a status."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )

    def proves(self, read_ns: int) -> bool:
        """Whether a later change would show in the stamp of a file that was read at ``read_ns``."""
        changed_ns = max(self.mtime_ns, self.ctime_ns)
        young_ns = COARSE_NS if changed_ns % 1_000_000_000 == 0 else YOUNG_NS
        return read_ns - changed_ns > young_ns


class StatCache(Generic[T]):
    """Values computed from files, by path; given out while the file's stamp proves them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[FileStamp, int, T]] = {}

    def get(self, path: str, stamp: FileStamp) -> T | None:
        """Return the value of ``path`` if the file with this stamp is certain to be the same."""
        found = self._known.get(path)
        if found is None or found[0] != stamp or not stamp.proves(found[1]):
            return None
        return found[2]

    def put(self, path: str, stamp: FileStamp, value: T, read_ns: int) -> None:
        """Keep the value of a file whose reading began at ``read_ns`` (since the epoch)."""
        self._known[path] = (stamp, read_ns, value)

    def forget(self, paths: Iterable[str]) -> None:
        """Drop the values of these paths."""
        for path in paths:
            self._known.pop(path, None)

    def retain(self, paths: Collection[str]) -> None:
        """Drop the values of all other paths."""
        self._known = {path: self._known[path] for path in paths if path in self._known}
