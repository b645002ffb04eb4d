"""Linux's inotify: a wait that ends with a change and costs nothing until then.

One directory is watched here, with what is below it in :mod:`eventstore.system.inotify_tree`.
"""

from __future__ import annotations

import os
import select
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.system.c_library import call
from eventstore.system.fork_hooks import ForkLock, track, untrack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSED_AFTER_WRITE: Final = 0x8
MOVED_AWAY: Final = 0x40
MOVED: Final = MOVED_AWAY | 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
SELF_GONE: Final = 0x400 | 0x800
"""The directory was removed or moved."""

OVERFLOW: Final = 0x4000
REMOVED: Final = 0x8000
"""The kernel has dropped the watch: its directory has gone, or the watch was taken away."""

WATCH_ENDED: Final = 0x2000 | REMOVED
"""Its file system was unmounted, or the kernel has dropped the watch."""

ONLY_DIRECTORIES: Final = 0x01000000
NO_LINKS: Final = 0x02000000
IS_DIRECTORY: Final = 0x40000000

CHANGED: Final = MODIFY | ATTRIB | MOVED | CREATE | DELETE | SELF_GONE
"""Neither opening nor closing: a writer would pay for three wake-ups."""

_EVENT: Final = struct.Struct("iIII")
_MOST_BYTES: Final = 65_536
CLOSED: Final = -1


class Changes:
    """What happened in a directory since the last look."""

    def __init__(self, flags: int) -> None:
        self.any = flags != 0
        self.ended = bool(flags & (SELF_GONE | WATCH_ENDED))
        """Whether the watch will see nothing more: the directory has gone or was moved."""


class Event(NamedTuple):
    """One event: of which watch, what happened, and to which name in the directory."""

    watch: int
    flags: int
    name: bytes


class EventQueue:
    """An inotify descriptor, and what ends a wait for it.

    ``interrupt`` and ``close`` may be called from any thread. A forked child closes its copies,
    and waits for nothing. Raises OSError: ENOTSUP where the system has no inotify, EMFILE and
    ENOSPC where one of its limits is exhausted, and what opening a directory raises.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._file = self._stop = CLOSED
        try:
            self._file = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
            self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._poll = select.poll()
            self._poll.register(self._file, select.POLLIN)
            self._poll.register(self._stop, select.POLLIN)
            self.begin()
        except BaseException:
            self.close()
            raise
        track(self)

    def begin(self) -> None:
        """Add the first watches."""

    def add(self, directory: bytes, wanted: int) -> int:
        """Watch a directory; return the number of the watch, an earlier one's where there is."""
        return call("inotify_add_watch", self._file, directory, wanted)

    def remove(self, watch: int) -> None:
        """Take a watch away, if it is still there."""
        with suppress(OSError):
            call("inotify_rm_watch", self._file, watch)

    def poll(self, seconds: float) -> None:
        """Return once there are events, after ``interrupt``, or after some seconds."""
        self._poll.poll(max(0.0, seconds * 1e3))

    def read(self) -> Iterator[Event]:
        """Yield the events that wait, at most those of one read."""
        try:
            raw = os.read(self._file, _MOST_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(raw):
            watch, flags, _cookie, size = _EVENT.unpack_from(raw, at)
            at += _EVENT.size + size
            yield Event(watch, flags, raw[at - size : at].rstrip(b"\0"))

    def interrupt(self) -> None:
        """End each wait at once, from now on. Does nothing once it is closed."""
        with self._lock:
            if self._stop != CLOSED:
                os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Close the watches. May be called twice."""
        untrack(self)
        with self._lock:
            files, self._file, self._stop = (self._file, self._stop), CLOSED, CLOSED
            for file in files:
                if file != CLOSED:
                    os.close(file)

    def after_fork(self) -> None:
        """Close the child's copies: the watches are the parent's."""
        self._lock.after_fork()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DirectoryEvents(EventQueue):
    """A watch on a directory, without what is below it; to be used by one thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = os.fsencode(directory)
        super().__init__()

    def begin(self) -> None:
        """Watch the directory."""
        self.add(self._directory, CHANGED | ONLY_DIRECTORIES)

    def wait(self, seconds: float) -> Changes:
        """Return once there are changes, after ``interrupt``, or after some seconds."""
        self.poll(seconds)
        flags = 0
        for event in self.read():
            flags |= event.flags
        return Changes(flags)

    def take(self) -> None:
        """Return None: which files have changed is not kept."""
