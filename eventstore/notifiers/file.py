"""Waking followers of other processes by a file that the writer touches after each commit.

The file has a directory of its own (``NAME-notify``), because a watch on a single file goes
blind after an atomic replace, and the database's own directory changes long before a
commit is visible: its write-ahead log is written first.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

from watchfiles import watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

STEP_MS: Final = 5
"""How often watchfiles looks at its queue: about 8 ms to notice, 0.9 % of a core idle."""

RETRY_SECONDS: Final = 5.0
"""How long to wait before watching again after the watch failed."""


class FileNotifier:
    """Touches a file on ``publish``, and watches its directory from a thread once started."""

    def __init__(self, directory: Path, step_ms: int = STEP_MS) -> None:
        self._directory = directory
        self._step_ms = step_ms
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._wakes = 0
        self._trouble = ""
        # The directory has to be there before anybody can watch it.
        self.publish(0)

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(
            target=self._run, args=(wake,), name="eventstore-watch", daemon=True
        )
        self._thread.start()

    def publish(self, position: int) -> None:
        """Write the position into the file. Never raises: a lost hint is a later reader."""
        try:
            self._directory.mkdir(exist_ok=True)
            # Opened each time (10 us), so that a removed directory heals by itself.
            file = os.open(self._directory / "position", os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.write(file, b"%020d\n" % position)
            finally:
                os.close(file)
        except OSError as error:
            self._report(f"cannot touch {self._directory}: {error}")

    def _report(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("%s; followers read on a timer instead", trouble)
        self._trouble = trouble

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def describe(self) -> dict[str, str | int]:
        """Return the kind, the watched place, how often it woke, and the last trouble."""
        facts: dict[str, str | int] = {
            "notifier": "file",
            "watching": str(self._directory) if self._thread else "",
            "wakes": self._wakes,
        }
        return facts | ({"trouble": self._trouble} if self._trouble else {})

    def _run(self, wake: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                self._watch(wake)
            except Exception as error:
                # A watch may fail for reasons that no list covers (limits, names, mounts);
                # followers read on a timer meanwhile, and are told that it is so.
                self._report(f"cannot watch {self._directory}: {error}")
            self._stop.wait(RETRY_SECONDS)

    def _watch(self, wake: Callable[[], None]) -> None:
        self._directory.mkdir(exist_ok=True)
        changes = watch(
            self._directory,
            watch_filter=None,
            step=self._step_ms,
            debounce=4 * self._step_ms,
            stop_event=self._stop,
            recursive=False,
            raise_interrupt=False,
        )
        for _ in changes:
            self._wakes += 1
            wake()
            if not self._directory.exists():
                raise FileNotFoundError("it was removed")
