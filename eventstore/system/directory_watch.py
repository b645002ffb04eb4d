"""A thread that says when something below a directory may have changed."""

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
"""How often watchfiles looks at its queue: about 8 ms to notice, 0.9 % of a core idle."""

RETRY_SECONDS: Final = 2.0
"""How long to wait before watching again after a watch failed."""

CHECK_MS: Final = 1_000
"""How often to look whether the directory is still the one that is watched."""


class Watcher:
    """Calls ``wake`` from its own thread after changes below ``directory``.

    A hint and no more: what changed is for the caller to find out. A watch that fails or
    goes blind (limits, odd names, a directory replaced, renamed or mounted over) is begun
    again, with a ``wake`` in case something was missed. While none can be made, as where the
    system's limits are exhausted, ``wake`` comes on a timer instead (RETRY_SECONDS):
    ``trouble`` says why, and so does the log, once.
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
        """End the thread; ``wake`` is not called any more afterwards."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._watch()
            except Exception as error:
                # A watch fails for reasons that no list covers: limits, names, mounts.
                trouble = f"cannot watch {self._directory}: {error}{_advice(str(error))}"
                if not self.trouble:
                    log.warning("%s; looking on a timer", trouble)
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
                # The first one covers what changed before the watch stood.
                first = False
                self.wakes += 1
                self._wake()
            if self._recursive:
                _check_limits(change)
            if _identity(self._directory) != watched:
                self._wake()
                return


def _check_limits(changes: set[tuple[Change, str]]) -> None:
    """Raise where a directory that has just come may have got no watch of its own.

    An exhausted limit makes a new watch fail; one that grows passes over it in silence. A
    probe needs a place of its own, so among many directories at once it may find one free.
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
    """Return what tells one directory from another at the same path, links resolved."""
    status = directory.stat()
    return str(directory.resolve()), status.st_dev, status.st_ino
