"""Linux's inotify for a directory and all below it: which paths have changed since a look."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING, Final

from eventstore.system.inotify import (
    CHANGED,
    CLOSED,
    CLOSED_AFTER_WRITE,
    IS_DIRECTORY,
    MOVED_AWAY,
    NO_LINKS,
    ONLY_DIRECTORIES,
    OVERFLOW,
    REMOVED,
    SELF_GONE,
    WATCH_ENDED,
    Changes,
    Event,
    EventQueue,
)

if TYPE_CHECKING:
    from pathlib import Path

_WANTED: Final = CHANGED | CLOSED_AFTER_WRITE | ONLY_DIRECTORIES

_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES})

MOST_PATHS: Final = 10_000
"""How many changed paths are kept; beyond that a reader looks at everything."""

_MOST_READS: Final = 64


class TreeEvents(EventQueue):
    """Watches on a directory and on all below it; links are not followed.

    One thread waits; :meth:`take` may be called from any. Directories that are made or moved here
    are watched too. Raises what EventQueue does, later also where a new directory cannot be
    watched because a limit is exhausted.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        self._below: dict[int, bytes] = {}
        """The directory of each watch, relative to the root, with a slash at its end."""
        self._top = 0
        self._paths: set[str] = set()
        self._everything = True
        self._twice = False
        self._watched: tuple[int, int] | None = None
        """The root whose watch this is, by device and inode; None once it sees nothing more."""
        self._flags = 0
        self._failure: OSError | None = None
        self._taking = threading.Lock()
        super().__init__()

    def begin(self) -> None:
        """Watch the root, and what is below it."""
        root = _identity(self._root)
        self._top = self.add(self._root, _WANTED)
        self._below[self._top] = b""
        self._watch_all(b"")
        self._watched = root

    def wait(self, seconds: float) -> Changes:
        """Return once there are changes, after ``interrupt``, or after some seconds."""
        self.poll(seconds)
        with self._taking:
            self._read_all()
            flags, self._flags = self._flags, 0
            if self._failure is not None:
                raise self._failure
        return Changes(flags)

    def take(self) -> frozenset[str] | None:
        """Return the paths that have changed since the last call, relative to the root, with ``/``.

        None means that everything may have changed: at the first call, after changes of
        directories, where the system has lost events, and at each call once the path of the root
        leads to another directory, of which these watches see nothing.
        """
        with self._taking:
            if self._file == CLOSED:
                return None
            self._read_all()
            everything = self._everything or self._twice or self._failure is not None
            paths, self._paths, self._everything = self._paths, set(), False
            if self._watched is None or self._watched != _identity(self._root):
                self._end()
                return None
        return None if everything else frozenset(paths)

    def _end(self) -> None:
        """Tell the waiting thread to watch anew: it is not woken by what ``take`` has read."""
        self._watched, self._flags = None, self._flags | SELF_GONE
        self.interrupt()

    def close(self) -> None:
        """Close the watches, once no other thread reads from them. May be called twice."""
        with self._taking:
            super().close()

    def after_fork(self) -> None:
        """Close the child's copies: the watches are the parent's."""
        self._taking = threading.Lock()
        super().after_fork()

    def _read_all(self) -> None:
        for _ in range(_MOST_READS):
            none = True
            for event in self.read():
                none = False
                self._take_in(event)
            if none:
                return
        self._everything = True

    def _take_in(self, event: Event) -> None:
        if event.flags & OVERFLOW:
            self._everything, self._flags = True, self._flags | event.flags
            return
        below = self._below.get(event.watch)
        if below is None:
            return  # Of a watch that was taken away.
        if event.watch == self._top and event.flags & (SELF_GONE | WATCH_ENDED):
            self._end()
        self._flags |= event.flags & ~(SELF_GONE | WATCH_ENDED)
        if event.flags & REMOVED:
            del self._below[event.watch]
        if event.flags & IS_DIRECTORY or not event.name:
            self._everything = True
            if event.name:
                self._follow(below + event.name + b"/", event.flags)
        elif len(self._paths) < MOST_PATHS:
            self._paths.add(os.fsdecode(below + event.name))
        else:
            self._everything = True

    def _follow(self, directory: bytes, flags: int) -> None:
        """Watch a directory that was made, moved here or made readable; forget one that left."""
        try:
            if flags & MOVED_AWAY:
                self._forget(directory)
            else:
                self._watch_all(directory)
        except OSError as error:
            self._failure = error
            self.interrupt()

    def _forget(self, directory: bytes) -> None:
        for watch in [one for one, at in self._below.items() if at.startswith(directory)]:
            del self._below[watch]
            self.remove(watch)

    def _watch_all(self, directory: bytes) -> None:
        waiting = [directory]
        while waiting:
            at = waiting.pop()
            if not at or self._watch(at):
                waiting += [at + name + b"/" for name in self._directories_in(at)]

    def _watch(self, directory: bytes) -> bool:
        """Watch one directory; return whether there may be others below it."""
        try:
            watch = self.add(self._root + b"/" + directory, _WANTED | NO_LINKS)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return False  # It went meanwhile, or this program may not look into it.
            raise
        known = self._below.get(watch, directory)
        self._below[watch] = directory
        if known != directory and self._is_same(known, directory):
            self._twice = True  # A mount shows one directory in two places.
            return False
        return True

    def _is_same(self, one: bytes, other: bytes) -> bool:
        top = self._root + b"/"
        try:
            return os.path.samefile(top + one, top + other)  # noqa: PTH121 - bytes
        except OSError:
            return False  # It was moved, and the event that says so comes later.

    def _directories_in(self, directory: bytes) -> list[bytes]:
        try:
            with os.scandir(self._root + b"/" + directory) as found:
                return [one.name for one in found if one.is_dir(follow_symlinks=False)]
        except OSError as error:
            if error.errno in _NOT_THERE:
                return []
            raise


def _identity(directory: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(directory)  # noqa: PTH116 - bytes
    except OSError:
        return None
    return status.st_dev, status.st_ino
