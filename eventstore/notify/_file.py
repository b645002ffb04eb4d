"""Waking subscriptions of other processes by a file that the writer touches after each commit.

The file has a directory of its own (``NAME-notify``), because a watch on a single file goes
blind after an atomic replace, and the database's own directory changes long before a
commit is visible: its write-ahead log is written first.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from eventstore.notify._position_file import PositionFile
from eventstore.system.directory_watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import LogIdentity, Wake

log = logging.getLogger(__name__)


class FileNotifier:
    """Touches a file on ``publish``, and watches its directory once started."""

    carries_batches = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = PositionFile(directory)
        self._watcher: Watcher | None = None
        self._error = ""

    def start(self, log: LogIdentity, wake: Wake) -> None:
        """Begin to watch."""
        self._own, self._wake = log.incarnation, wake
        # The directory has to exist before it can be watched. A reader may not be able to write.
        if not self._directory.is_dir():
            self._try(self._file.make)
        self._watcher = Watcher(self._directory, self._woken, recursive=False)
        self._watcher.start()

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:  # noqa: ARG002
        """Write the position into the file. Never raises: without the hint, subscriptions poll."""
        self._try(partial(self._file.write, position, log.incarnation))

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Do nothing: it could write an older position over one that was just published."""

    def _woken(self) -> None:
        position, incarnation = self._file.read()
        if incarnation is None or incarnation == self._own:
            self._wake(position)
        elif not incarnation:
            self._wake()  # Written by an earlier version: no more than a reason to look.

    def _try(self, touch: Callable[[], None]) -> None:
        try:
            touch()
        except OSError as error:
            message = f"cannot touch {self._directory}: {error}"
            if message != self._error:
                log.warning("%s; subscriptions poll instead", message)
            self._error = message

    def close(self) -> None:
        """Stop watching, and close the file."""
        if self._watcher is not None:
            self._watcher.close()
        self._file.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, the watched place, how often it woke, and the last trouble."""
        facts: dict[str, str | int] = {"notifier": "file", "directory": str(self._directory)}
        trouble = self._error
        if self._watcher is not None:
            facts["wakes"] = self._watcher.wakes
            trouble = trouble or self._watcher.trouble
        return facts | ({"trouble": trouble} if trouble else {})
