"""Reads below a source's directory that cannot leave it, though files are exchanged meanwhile.

Links in a source are followed, where they lead inside. Where a path leads is therefore asked of
what was opened, not of the path: that may lead elsewhere a moment later.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.system.safe_files import open_regular
from eventstore.system.stat_cache import FileStamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FOLDER: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)


ATTEMPTS: Final = 100
"""Looks at a path whose links are exchanged meanwhile, before giving up."""


class FoundEntry(NamedTuple):
    """A name in a folder: its path, and what the listing said it is."""

    name: str
    path: str
    is_symlink: bool
    is_folder: bool

    def stat(self) -> os.stat_result:
        """Return the status of what the path leads to. Raises OSError."""
        return os.stat(self.path)  # noqa: PTH116 - one of many thousand paths


def real_path(path: str | Path) -> str:
    """Return where a path leads, links resolved; empty where they change all the time.

    ``os.path.realpath`` raises where a link goes between its two looks at it.
    """
    for _ in range(ATTEMPTS):
        with suppress(OSError):
            return os.path.realpath(path)
    return ""


def read_inside(path: str, real_root: str, max_bytes: int) -> tuple[bytes, FileStamp]:
    """Read at most one byte more than ``max_bytes``, and what the file is afterwards.

    Raises OSError where that is no regular file, or one outside of ``real_root``.
    """
    with os.fdopen(open_regular(path, follow=True), "rb") as stream:
        _check_inside(stream.fileno(), path, real_root)
        content = stream.read(max_bytes + 1)
        return content, FileStamp.of(os.fstat(stream.fileno()))


def list_inside(folder: str, real_root: str) -> Iterator[FoundEntry]:
    """Yield the names in a folder; raise OSError where it lies outside of ``real_root``."""
    descriptor = os.open(folder, _FOLDER)
    try:
        _check_inside(descriptor, folder, real_root)
        with os.scandir(descriptor) as listing:
            for one in listing:
                path = f"{folder}/{one.name}"
                yield FoundEntry(
                    one.name, path, one.is_symlink(), one.is_dir(follow_symlinks=False)
                )
    finally:
        os.close(descriptor)


def _check_inside(descriptor: int, path: str, real_root: str) -> None:
    real = _path_of(descriptor, path)
    if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
        raise OSError(errno.ELOOP, "leads out of the directory by now", path)


def _path_of(descriptor: int, path: str) -> str:
    """Return where an open file is; where the system does not tell, by its path, checked."""
    try:
        real = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - as text
    except OSError:
        real = ""
    if real.startswith("/"):
        return real
    real = real_path(path)
    status = os.stat(real, follow_symlinks=False)  # noqa: PTH116 - a text as any path here
    if stat.S_ISLNK(status.st_mode) or not os.path.samestat(status, os.fstat(descriptor)):
        raise OSError(errno.EAGAIN, "was exchanged while it was read", path)
    return real
