"""Waking subscriptions of other processes by a file that the writer touches after each commit.

The file has a directory of its own (``NAME-notify``), because a watch on a single file goes
blind after an atomic replace, and the database's own directory changes long before a
commit is visible: its write-ahead log is written first.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from eventstore.system.directory_watch import Watcher
from eventstore.system.safe_files import open_regular, read_regular

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import LogIdentity, Wake

log = logging.getLogger(__name__)

_POSITION_BYTES: Final = 32
"""Bytes of the file that hold the position; the incarnation follows them."""

_FLAGS: Final = os.O_WRONLY | os.O_CREAT

MODE: Final = 0o644
"""Permissions of the file, less the process's umask."""


class FileNotifier:
    """Touches a file on ``publish``, and watches its directory once started."""

    carries_batches = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = str(directory / "position")
        self._watcher: Watcher | None = None
        self._error = ""

    def start(self, log: LogIdentity, wake: Wake) -> None:
        """Begin to watch."""
        self._own, self._wake = log.incarnation, wake
        # The directory has to exist before it can be watched. A reader may not be able to write.
        if not self._directory.is_dir():
            self._touch(None)
        self._watcher = Watcher(self._directory, self._woken, recursive=False)
        self._watcher.start()

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:  # noqa: ARG002
        """Write the position into the file. Never raises: without the hint, subscriptions poll."""
        self._touch(position, log.incarnation)

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Do nothing: it could write an older position over one that was just published."""

    def _woken(self) -> None:
        position, incarnation = self._read()
        if incarnation == self._own:
            self._wake(position)
        elif not incarnation:
            self._wake()  # Written by an earlier version: no more than a reason to look.

    def _read(self) -> tuple[int | None, str]:
        """Return the position in the file, ``None`` where there is none, and the incarnation."""
        try:
            content = read_regular(self._file, 128)
            return int(content[:_POSITION_BYTES]), content[_POSITION_BYTES:].strip().decode()
        except (OSError, ValueError):
            return None, self._own

    def _touch(self, position: int | None, incarnation: str = "") -> None:
        try:
            # Opened each time (10 us), so that a removed directory heals by itself.
            try:
                file = open_regular(self._file, _FLAGS, MODE)
            except FileNotFoundError:
                self._directory.mkdir(exist_ok=True)
                file = open_regular(self._file, _FLAGS, MODE)
            try:
                if position is not None:
                    # Earlier versions read the first part, and take blanks at its end.
                    text = b"%020d\n" % position
                    if incarnation:
                        text = text.ljust(_POSITION_BYTES) + incarnation.encode() + b"\n"
                    os.write(file, text)
            finally:
                os.close(file)
        except OSError as error:
            message = f"cannot touch {self._directory}: {error}"
            if message != self._error:
                log.warning("%s; subscriptions poll instead", message)
            self._error = message

    def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, the watched place, how often it woke, and the last trouble."""
        facts: dict[str, str | int] = {"notifier": "file", "directory": str(self._directory)}
        trouble = self._error
        if self._watcher is not None:
            facts["wakes"] = self._watcher.wakes
            trouble = trouble or self._watcher.trouble
        return facts | ({"trouble": trouble} if trouble else {})
