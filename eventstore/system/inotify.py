"""Linux's inotify for one directory: a wait that ends with a change and costs nothing until then.

Called through ctypes: the small library for it, inotify-simple, starts a program (``ldconfig``)
to find the C library that this process has loaded already.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import struct
from typing import TYPE_CHECKING, Final

from eventstore.system.fork_hooks import ForkLock, track, untrack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_MOVED: Final = 0x40 | 0x80
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_SELF_GONE: Final = 0x400 | 0x800
"""The directory was removed or moved."""

_WATCH_ENDED: Final = 0x2000 | 0x8000
"""Its file system was unmounted; the kernel has dropped the watch."""

_ONLY_DIRECTORIES: Final = 0x01000000

_WANTED: Final = (
    _MODIFY | _ATTRIB | _MOVED | _CREATE | _DELETE | _SELF_GONE | _ONLY_DIRECTORIES
)  # Neither opening nor closing: a writer would pay for three wake-ups.

_EVENT: Final = struct.Struct("iIII")
_MOST_BYTES: Final = 65_536
_CLOSED: Final = -1


class Changes:
    """What happened in a directory since the last look."""

    def __init__(self, flags: int) -> None:
        self.any = flags != 0
        self.ended = bool(flags & (_SELF_GONE | _WATCH_ENDED))
        """Whether the watch will see nothing more: the directory has gone or was moved."""


class DirectoryEvents:
    """A watch on a directory, without what is below it; to be used by one thread.

    ``interrupt`` may be called from any thread. A forked child closes its copies, and waits for
    nothing. Raises OSError: ENOTSUP where the system has no inotify, EMFILE and ENOSPC where one
    of its limits is exhausted, and what opening the directory raises.
    """

    def __init__(self, directory: Path) -> None:
        self._lock = ForkLock()
        self._file = self._stop = _CLOSED
        try:
            self._file = _call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
            self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            _call("inotify_add_watch", self._file, os.fsencode(directory), _WANTED)
        except BaseException:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)
        self._poll.register(self._stop, select.POLLIN)
        track(self)

    def wait(self, seconds: float) -> Changes:
        """Return once there are changes, after ``interrupt``, or after some seconds."""
        self._poll.poll(max(0.0, seconds * 1e3))
        try:
            return Changes(_flags(os.read(self._file, _MOST_BYTES)))
        except BlockingIOError:
            return Changes(0)

    def interrupt(self) -> None:
        """End each wait at once, from now on. Does nothing once it is closed."""
        with self._lock:
            if self._stop != _CLOSED:
                os.eventfd_write(self._stop, 1)

    def close(self) -> None:
        """Close the watch. May be called twice."""
        untrack(self)
        with self._lock:
            files, self._file, self._stop = (self._file, self._stop), _CLOSED, _CLOSED
            for file in files:
                if file != _CLOSED:
                    os.close(file)

    def after_fork(self) -> None:
        """Close the child's copies: the watch is the parent's."""
        self._lock.after_fork()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _call(name: str, *arguments: object) -> int:
    """Call a function of the C library; raise OSError where it fails."""
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), name, None)
    if function is None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
    result = function(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        number = errno.ENOTSUP if number == errno.ENOSYS else number
        raise OSError(number, os.strerror(number))
    return result


def _flags(events: bytes) -> int:
    """Return the flags of all events together."""
    flags = at = 0
    while at < len(events):
        _watch, found, _cookie, name_bytes = _EVENT.unpack_from(events, at)
        flags |= found
        at += _EVENT.size + name_bytes
    return flags
