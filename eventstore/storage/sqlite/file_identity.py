"""Which files an open log consists of, and whether they are still those at its path.

SQLite goes on with the files that it has open. Once another file has the name of one of them, what
it writes is lost: the next process that opens the log does not find it.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from eventstore.errors import FileChangedError, LinkedFileError, StorageError
from eventstore.system.file_holders import lock_holders
from eventstore.system.untimed_stat import identify, identify_with_size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventstore.system.untimed_stat import FileIdentity

log = logging.getLogger(__name__)

LOOKS: Final = 20
"""Looks at a file that is open somewhere without a write-ahead log, before that is believed."""

LOOK_SECONDS: Final = 0.02
"""Pause between them: a process that opens or closes the log does one thing after the other."""


class LogFiles:
    """The database file at ``path``, its write-ahead log (``-wal``) and its index (``-shm``).

    A check costs a ``statx`` of each file, 2 to 3 µs. Safe to use from several threads.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._raw_path = os.fsencode(path)
        self._main = identify(self._raw_path)
        self._wal, self._shm = self._raw_path + b"-wal", self._raw_path + b"-shm"
        self._companions: dict[bytes, FileIdentity] = {}

    @property
    def main(self) -> FileIdentity | None:
        """Which file was at the path."""
        return self._main

    def check(self) -> None:
        """Raise FileChangedError once another file, or none, is where one of them was."""
        self._check_main()
        self._check_companion(self._wal)
        self._check_companion(self._shm)

    def check_before_write(self) -> None:
        """Check what a write must not go without; :meth:`check_written` does the rest."""
        self._check_main()
        # With two indexes of one write-ahead log, two processes would write at one place of it.
        self._check_companion(self._shm)

    def check_written(self) -> None:
        """Raise FileChangedError where what was committed went into a file that is gone by now."""
        self._check_main()
        if self._companions:
            self._check_companion(self._wal)
        else:
            self.attach()

    def _check_main(self) -> None:
        found, size = identify_with_size(self._raw_path)
        if found is None:
            raise FileChangedError(self._path, self._path, "removed")
        if found != self._main:
            raise FileChangedError(self._path, self._path, "replaced")
        if not size:
            raise FileChangedError(self._path, self._path, "emptied")

    def _check_companion(self, name: bytes) -> None:
        known = self._companions.get(name)
        if known is not None and (found := identify(name)) != known:
            what = "removed" if found is None else "replaced"
            raise FileChangedError(self._path, os.fsdecode(name), what)

    def attach(self) -> None:
        """Note the write-ahead log that a connection of this process uses now.

        Called within a transaction, or after a commit: from then on no process but this one
        could remove it.
        """
        if not self._companions:
            wal, shm = identify(self._wal), identify(self._shm)
            if wal is not None and shm is not None:
                self._companions = {self._wal: wal, self._shm: shm}

    @property
    def closing_harms(self) -> bool:
        """Whether a write-ahead log lies there that is another's, or may be.

        SQLite removes what has this name when the last connection closes. Where ours was only
        removed, closing is what saves its content.
        """
        try:
            found = {name: identify(name) for name in (self._wal, self._shm)}
            if not self._companions:
                return any(found.values()) and identify(self._raw_path) != self._main
        except OSError:
            return True
        return any(now not in {None, self._companions[name]} for name, now in found.items())


def _check_companions(path: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm"):
        name = f"{path}{suffix}"
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(name).st_mode):  # noqa: PTH116
                raise StorageError(str(path), f"{name} is no regular file: remove it")


def check_alone(path: Path) -> None:
    """Raise LinkedFileError or FileChangedError where opening the file begins a second history.

    A second link to a file has a write-ahead log of its own: what is written by one name is not
    seen by the other. It is refused where the file is open by another name, or where that name has
    a write-ahead log; otherwise it is a warning, since backups may be made of links. A file that a
    process has open, while its write-ahead log is gone, lacks what that process has written.
    Raises StorageError for a pipe in the place of one of its files: SQLite would wait for a writer.
    """
    _check_companions(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return
    others = sorted(_other_links(path, status)) if status.st_nlink > 1 else []
    busy = [name for name in others if os.path.exists(f"{name}-wal")]  # noqa: PTH110
    if busy:
        raise LinkedFileError(
            str(path), status.st_nlink, busy[0], "has a write-ahead log of its own"
        )
    if pid := _lasting_holder(path, status):
        if status.st_nlink > 1:
            reason = f"is open in process {pid} by another name"
            raise LinkedFileError(str(path), status.st_nlink, (others or [""])[0], reason)
        raise FileChangedError(str(path), f"{path}-wal", "removed", pid)
    if status.st_nlink > 1:
        log.warning(
            "%s has %d links: programs that use another name of it do not see what is written here",
            path,
            status.st_nlink,
        )


def _lasting_holder(path: Path, status: os.stat_result) -> int:
    """Return a process that has the file open without a write-ahead log beside it; 0 for none."""
    for _ in range(LOOKS):
        if os.path.exists(f"{path}-wal"):  # noqa: PTH110
            return 0
        pids = [pid for pid in lock_holders(status, "POSIX") if pid != os.getpid()]
        if not pids:
            return 0
        time.sleep(LOOK_SECONDS)
    return pids[0]


def _other_links(path: Path, status: os.stat_result) -> Iterator[str]:
    """Yield other names of a file in its own directory."""
    with os.scandir(path.parent) as entries:
        for entry in entries:
            is_other = entry.name != path.name and entry.inode() == status.st_ino
            if is_other and os.path.samestat(entry.stat(follow_symlinks=False), status):
                yield entry.path
