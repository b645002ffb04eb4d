"""A thread that reports when something below a directory may have changed."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from watchfiles import Change, watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

STEP_MS: Final = 5
"""Interval at which watchfiles reads its queue: about 8 ms of latency, 0.9 % of a core idle."""

RETRY_SECONDS: Final = 2.0
"""Pause before a watch that failed is begun again."""

CHECK_MS: Final = 1_000
"""Interval of the check that the path still leads to the directory that is watched."""


class Watcher:
    """Calls ``wake`` from its own thread after changes below ``directory``.

    A call is only a hint: the caller finds out what changed. A watch that fails or stops
    reporting (limits, odd names, a directory replaced, renamed or mounted over) is begun again,
    with a ``wake`` in case a change was missed. While no watch can be made, as where the
    system's limits are exhausted, ``wake`` is called every RETRY_SECONDS instead; ``trouble``
    then says why, and the program's log once.
    """

    def __init__(
        self,
        directory: Path,
        wake: Callable[[], None],
        *,
        recursive: bool,
        step_ms: int = STEP_MS,
    ) -> None:
        self._directory = directory
        self._wake = wake
        self._recursive = recursive
        self._step_ms = step_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventstore-watch", daemon=True)
        self.wakes = 0
        self.trouble = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; ``wake`` is not called afterwards."""
        self._stop.set()
        # The garbage collector may close it in any thread, its own among them.
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch()
            except Exception as error:
                # A watch fails for many reasons: limits, names, mounts.
                trouble = f"cannot watch {self._directory}: {error}{_advice(str(error))}"
                if not self.trouble:
                    log.warning("%s; scanning on a timer", trouble)
                self.trouble = trouble
                self._wake()
                self._stop.wait(RETRY_SECONDS)

    def _watch(self) -> None:
        watched = _identity(self._directory)
        changes = watch(
            self._directory,
            watch_filter=None,
            step=self._step_ms,
            debounce=4 * self._step_ms,
            rust_timeout=CHECK_MS,
            yield_on_timeout=True,
            stop_event=self._stop,
            recursive=self._recursive,
            raise_interrupt=False,
        )
        first = True
        for change in changes:
            self.trouble = ""
            if change or first:
                # The first call covers what changed before the watch began.
                first = False
                self.wakes += 1
                self._wake()
            if self._recursive:
                _check_limits(change)
            # A directory that was made again at once may have the inode of the one before.
            replaced = (Change.deleted, str(self._directory)) in change
            if replaced or _identity(self._directory) != watched:
                self._wake()
                return


def _check_limits(changes: set[tuple[Change, str]]) -> None:
    """Raise where a directory that was just made may not be watched.

    An exhausted limit makes a new watch fail, but a recursive watch ignores it for directories
    made later. So a probe watches one of them: it raises where the limit is exhausted. Among many
    directories at once the probe may still find a free place.
    """
    for change, path in changes:
        if change is Change.added and os.path.isdir(path):  # noqa: PTH112 - it may be no UTF-8
            with suppress(FileNotFoundError):
                probe = watch(path, recursive=False, rust_timeout=1, yield_on_timeout=True)
                next(probe)
                probe.close()
            return


def _advice(reason: str) -> str:
    if "watch limit" in reason:
        return " (the sysctl fs.inotify.max_user_watches raises it)"
    if "os error 24" in reason:
        return " (the sysctl fs.inotify.max_user_instances raises it)"
    return ""


def _identity(directory: Path) -> tuple[str, int, int]:
    """Return what identifies the directory that the path leads to, links resolved."""
    status = directory.stat()
    return str(directory.resolve()), status.st_dev, status.st_ino
