"""A thread that reports when something below a directory may have changed.

Where there is inotify, it is used: the thread sleeps until the kernel has a change, and a tree's
watch says which paths have changed. Other systems are watched by watchfiles, which looks at its
queue every few milliseconds.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore.system.inotify import DirectoryEvents
    from eventstore.system.inotify_tree import TreeEvents

log = logging.getLogger(__name__)

STEP_MS: Final = 5
"""Interval at which watchfiles reads its queue: about 8 ms of latency, 0.9 % of a core idle."""

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.02
"""Seconds after a wake-up by inotify in which changes are gathered to one; see :class:`Pauses`."""

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
    then says why, and the program's log once. Neither says that the directory is not there
    where its reader does: with ``missing_is_told``.
    """

    def __init__(
        self,
        directory: Path,
        wake: Callable[[], None],
        *,
        recursive: bool,
        step_ms: int = STEP_MS,
        missing_is_told: bool = False,
    ) -> None:
        self._directory = directory
        self._wake = wake
        self._recursive = recursive
        self._step_ms = step_ms
        self._missing_is_told = missing_is_told
        self._stop = threading.Event()
        self._events: DirectoryEvents | TreeEvents | None = None
        self._inotify = _reports_changes()
        self._thread = threading.Thread(target=self._run, name="eventstore-watch", daemon=True)
        self.wakes = 0
        self.trouble = ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """End the thread; ``wake`` is not called afterwards."""
        self._stop.set()
        if (events := self._events) is not None:
            events.interrupt()
        # The garbage collector may close it in any thread, its own among them.
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(5)

    def take(self) -> frozenset[str] | None:
        """Return the paths below the directory that have changed since the last call.

        They are relative, with ``/``, and may be called for by any thread. None means that
        everything may have changed: where that is not known, and whenever a watch begins.
        """
        events = self._events
        return None if events is None else events.take()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._inotify:
                    self._watch_by_inotify()
                else:
                    self._watch_by_watchfiles()
            except Exception as error:
                if self._inotify and isinstance(error, OSError) and error.errno == errno.ENOTSUP:
                    log.info("no inotify here: watchfiles watches %s", self._directory)
                    self._inotify = False
                    continue
                # A watch fails for many reasons: limits, names, mounts.
                self._report(error)
                self._wake()
                self._stop.wait(RETRY_SECONDS)

    def _report(self, error: Exception) -> None:
        if self._missing_is_told and isinstance(error, FileNotFoundError):
            self.trouble = ""
            return
        trouble = f"cannot watch {self._directory}: {error}{_advice(error)}"
        if not self.trouble:
            log.warning("%s; scanning on a timer", trouble)
        self.trouble = trouble

    def _watch_by_inotify(self) -> None:
        """Watch by inotify until ``close``, or until the path leads to another directory."""
        watched = _identity(self._directory)
        with self._begin() as events:
            self._events = events
            self._tell()  # Of what changed before the watch began.
            check, pauses = time.monotonic(), Pauses()
            while not self._stop.is_set():
                if (now := time.monotonic()) >= check:
                    if _identity(self._directory) != watched:
                        break
                    check = now + CHECK_MS / 1e3
                self.trouble = ""
                changes = events.wait(check - now)
                if changes.any:
                    self._tell()
                    self._stop.wait(pauses.next(time.monotonic()))
                    check = 0.0  # The path may be a link that leads elsewhere now.
                if changes.ended:
                    break
        if not self._stop.is_set():
            self._wake()

    def _begin(self) -> DirectoryEvents | TreeEvents:
        from eventstore.system import inotify, inotify_tree  # noqa: PLC0415 - Linux only

        if self._recursive:
            return inotify_tree.TreeEvents(self._directory)
        return inotify.DirectoryEvents(self._directory)

    def _watch_by_watchfiles(self) -> None:
        """Watch by watchfiles until ``close``, or until the path leads to another directory."""
        from eventstore.system import tree_watch  # noqa: PLC0415 - few programs need it

        watched = _identity(self._directory)
        first = True
        for changes in tree_watch.changes(
            self._directory,
            step_ms=self._step_ms,
            check_ms=CHECK_MS,
            stop=self._stop,
            recursive=self._recursive,
        ):
            self.trouble = ""
            if changes or first:
                # The first call covers what changed before the watch began.
                first = False
                self._tell()
            if self._recursive:
                tree_watch.check_limits(changes)
            # A directory that was made again at once may have the inode of the one before.
            replaced = tree_watch.is_removed(self._directory, changes)
            if replaced or _identity(self._directory) != watched:
                self._wake()
                return

    def _tell(self) -> None:
        self.wakes += 1
        self._wake()


class Pauses:
    """How long to rest after each wake-up: briefly, but longer within a stream of changes.

    A single change wakes at once. A writer that never rests would otherwise make each of its
    followers read the log after every commit.
    """

    def __init__(self) -> None:
        self._last = 0.0
        self._pause = FIRST_PAUSE

    def next(self, now: float) -> float:
        """Return the pause after a wake-up at ``now``, in seconds."""
        streams = now - self._last < 2 * LONGEST_PAUSE
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if streams else FIRST_PAUSE
        self._last = now
        return self._pause


def _reports_changes() -> bool:
    """Return whether to try inotify: on Linux, unless watchfiles is told to poll, or would.

    It polls where the system reports no changes of some files: ``WATCHFILES_FORCE_POLLING``, WSL.
    """
    return (
        sys.platform == "linux"
        and not os.environ.get("WATCHFILES_FORCE_POLLING")
        and "microsoft-standard" not in os.uname().release.lower()
    )


def _advice(error: Exception) -> str:
    number, reason = getattr(error, "errno", None), str(error)
    if number == errno.ENOSPC or "watch limit" in reason:
        return " (the sysctl fs.inotify.max_user_watches raises it)"
    if number == errno.EMFILE or "os error 24" in reason:
        return " (the sysctl fs.inotify.max_user_instances raises it)"
    return ""


def _identity(directory: Path) -> tuple[str, int, int]:
    """Return what identifies the directory that the path leads to, links resolved."""
    status = directory.stat()
    return str(directory.resolve()), status.st_dev, status.st_ino
