"""The file that the file notifier touches: the log's position, and which copy of the log it is.

Its directory is removed with the log's other files, or renamed, at any time: each write finds
out that the file has gone, and makes it again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from eventstore.system import fork_hooks
from eventstore.system.safe_files import open_regular, read_regular
from eventstore.system.untimed_stat import identify, identify_open

if TYPE_CHECKING:
    from pathlib import Path

_POSITION_BYTES: Final = 32
"""Bytes of the file that hold the position; the incarnation follows them."""

_FLAGS: Final = os.O_WRONLY | os.O_CREAT

MODE: Final = 0o644
"""Permissions of the file, less the process's umask."""

_CLOSED: Final = -1


class PositionFile:
    """The file in ``directory``. Any thread may use it; a forked child opens it for itself.

    It stays open between writes, which saves a third of the time of one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = str(directory / "position")
        self._raw_path = os.fsencode(self._path)
        self._lock = fork_hooks.ForkLock()
        self._file = _CLOSED
        fork_hooks.track(self)

    def make(self) -> None:
        """Make the file and its directory, where they are missing. Raises OSError."""
        with self._lock:
            self._open()
            self.close()

    def write(self, position: int, incarnation: str) -> None:
        """Store a position. Raises OSError."""
        # Earlier versions read the first part, and take blanks at its end.
        text = b"%020d\n" % position
        if incarnation:
            text = text.ljust(_POSITION_BYTES) + incarnation.encode() + b"\n"
        with self._lock:
            if not self._is_current():
                self._open()
            os.pwrite(self._file, text, 0)

    def read(self) -> tuple[int | None, str | None]:
        """Return the position and the incarnation, ``None`` for both where there is no position."""
        try:
            content = read_regular(self._path, 128)
            return int(content[:_POSITION_BYTES]), content[_POSITION_BYTES:].strip().decode()
        except (OSError, ValueError):
            return None, None

    def close(self) -> None:
        """Close the file; the next write opens it again. May be called twice."""
        with self._lock:
            file, self._file = self._file, _CLOSED
            if self._is_ours(file):
                os.close(file)

    def after_fork(self) -> None:
        """Close the child's copy."""
        self._lock.after_fork()
        self.close()

    def _open(self) -> None:
        self.close()
        try:
            self._file = open_regular(self._path, _FLAGS, MODE)
        except FileNotFoundError:
            self._directory.mkdir(exist_ok=True)
            self._file = open_regular(self._path, _FLAGS, MODE)
        self._opened = identify_open(self._file)

    def _is_current(self) -> bool:
        """Return whether the open file is the one that has the name now."""
        return self._is_ours(self._file) and self._opened == identify(self._raw_path, follow=False)

    def _is_ours(self, file: int) -> bool:
        """Return whether a descriptor is still the file that was opened.

        A program that closes all descriptors, as daemons do, may have another file there since.
        """
        try:
            return file != _CLOSED and identify_open(file) == self._opened
        except OSError:
            return False
