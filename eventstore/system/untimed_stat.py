"""Which file a name or a descriptor leads to, asked for without the file's times.

Since Linux 6.13 a ``stat`` tells the kernel that the times of a file were seen: the next write must
store a new one, and with it the inode. A look at SQLite's write-ahead log after each commit made
the next commit slower by a third (docs/decisions/0052-append-path.md). ``statx`` can leave the
times out. It is called through ctypes, because Python has it from 3.15 on.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

FileIdentity: TypeAlias = tuple[int, int, int]
"""Inode, and major and minor number of its device: equal for one file, for no two at a time."""

_HERE: Final = -100
"""AT_FDCWD: relative paths begin at the working directory."""

_NO_FOLLOW: Final = 0x100
_EMPTY_PATH: Final = 0x1000
_INODE_AND_SIZE: Final = 0x100 | 0x200

_new_status: Final = ctypes.c_char * 256
"""Makes room for the kernel's ``struct statx``."""
_identity: Final = struct.Struct("=32xQ96xII").unpack_from
_size: Final = struct.Struct("=40xQ").unpack_from


def identify(path: bytes, *, follow: bool = True) -> FileIdentity | None:
    """Return the file at ``path``, ``None`` where there is none; raise OSError otherwise.

    Without ``follow`` a symbolic link is the file itself.
    """
    status = _new_status()
    if not _statx(_HERE, path, 0 if follow else _NO_FOLLOW, _INODE_AND_SIZE, status):
        return _identity(status)
    found = _stat(path, follow=follow)
    return None if found is None else _from_stat(found)


def identify_with_size(path: bytes) -> tuple[FileIdentity | None, int]:
    """Return the file at ``path`` and its bytes; ``None`` and 0 where there is none."""
    status = _new_status()
    if not _statx(_HERE, path, 0, _INODE_AND_SIZE, status):
        return _identity(status), _size(status)[0]
    found = _stat(path, follow=True)
    return (None, 0) if found is None else (_from_stat(found), found.st_size)


def identify_open(descriptor: int) -> FileIdentity:
    """Return the file of an open descriptor. Raises OSError where none is open."""
    status = _new_status()
    if not _statx(descriptor, b"", _EMPTY_PATH, _INODE_AND_SIZE, status):
        return _identity(status)
    return _from_stat(os.fstat(descriptor))


def _stat(path: bytes, *, follow: bool) -> os.stat_result | None:
    """Do the same by ``stat``: it tells an error from a system that knows no statx."""
    try:
        return os.stat(path, follow_symlinks=follow)  # noqa: PTH116 - on the path of each append
    except (FileNotFoundError, NotADirectoryError):
        return None


def _from_stat(status: os.stat_result) -> FileIdentity:
    return status.st_ino, os.major(status.st_dev), os.minor(status.st_dev)


def _find_statx() -> Callable[..., int]:
    """Return the C library's statx; where it has none, a function that always fails."""
    # Without declared argument types, which take a quarter of the time of a call.
    found: Any = getattr(ctypes.CDLL(None), "statx", None) if sys.platform == "linux" else None
    return found or (lambda *_: -1)


_statx: Final = _find_statx()
