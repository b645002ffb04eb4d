"""Which file a name or a descriptor leads to, asked for without the file's times.

Since Linux 6.13 a ``stat`` tells the kernel that the times of a file were seen: the next write must
store a new one, and with it the inode. A look at SQLite's write-ahead log after each commit made
the next commit slower by a third (docs/decisions/0052-append-path.md). ``statx`` can leave the
times out. It is called through ctypes, because Python has it from 3.15 on.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_HERE: Final = -100
"""AT_FDCWD: relative paths begin at the working directory."""

_NO_FOLLOW: Final = 0x100
_EMPTY_PATH: Final = 0x1000
_INODE_AND_SIZE: Final = 0x100 | 0x200


class FileIdentity(NamedTuple):
    """A file among all of this host, and its size in bytes."""

    device: int
    inode: int
    size: int

    def same_file(self, other: FileIdentity | None) -> bool:
        """Whether both are one file, whatever its size was."""
        return other is not None and self[:2] == other[:2]


class _Status(ctypes.Structure):
    """The kernel's ``struct statx``."""

    _fields_ = (
        ("_before", ctypes.c_uint32 * 8),
        ("inode", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("_between", ctypes.c_uint64 * 11),
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("_after", ctypes.c_uint64 * 14),
    )


def identify(path: str, *, follow: bool = True) -> FileIdentity | None:
    """Return the file at ``path``, ``None`` where there is none; raise OSError otherwise.

    Without ``follow`` a symbolic link is the file itself.
    """
    status = _Status()
    flags = 0 if follow else _NO_FOLLOW
    if not _statx(_HERE, os.fsencode(path), flags, _INODE_AND_SIZE, ctypes.byref(status)):
        return _identity(status)
    # An error, or a system that knows no statx: this tells which.
    try:
        return _from_stat(os.stat(path, follow_symlinks=follow))  # noqa: PTH116 - at each append
    except (FileNotFoundError, NotADirectoryError):
        return None


def identify_open(descriptor: int) -> FileIdentity:
    """Return the file of an open descriptor. Raises OSError where none is open."""
    status = _Status()
    if not _statx(descriptor, b"", _EMPTY_PATH, _INODE_AND_SIZE, ctypes.byref(status)):
        return _identity(status)
    return _from_stat(os.fstat(descriptor))


def _identity(status: _Status) -> FileIdentity:
    return FileIdentity(os.makedev(status.major, status.minor), status.inode, status.size)


def _from_stat(status: os.stat_result) -> FileIdentity:
    return FileIdentity(status.st_dev, status.st_ino, status.st_size)


def _find_statx() -> Callable[..., int]:
    """Return the C library's statx; where it has none, a function that always fails."""
    function: Any = getattr(ctypes.CDLL(None), "statx", None) if sys.platform == "linux" else None
    if function is None:
        return lambda *_: -1
    function.argtypes = (
        ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    )  # fmt: skip
    return function  # type: ignore[no-any-return]


_statx: Final = _find_statx()
