"""Giving a file a name in a second directory: a hard link, or a copy where that cannot be."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final

from eventstore.system.safe_files import create_new, open_regular, random_token
from projections.directory._safe_names import NO_HARD_LINKS, raw
from projections.directory.path_claims import PRIVATE

_CLONE: Final = 0x40049409
"""FICLONE of Linux: the copy shares the blocks of the original until one of them is changed."""

_NO_LINK: Final = NO_HARD_LINKS | {errno.EXDEV}


def give_second_name(above: int, target: int, name: str, *, mode: int, fsync: bool) -> None:
    """Give the file ``name`` of the directory ``above`` that name in ``target``, where it is free.

    A link is taken as it is. Where the file system has no hard links, or no more of this file, it
    is copied, with ``mode``. Raises OSError, with ENOENT where there is no such file.
    """
    try:
        os.link(raw(name), raw(name), src_dir_fd=above, dst_dir_fd=target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        _copy(above, target, name, mode=mode, fsync=fsync)


def _copy(above: int, target: int, name: str, *, mode: int, fsync: bool) -> None:
    temporary = f"{PRIVATE}-{random_token()}.tmp"
    source = open_regular(raw(name), directory=above)
    try:
        descriptor = create_new(temporary, mode, directory=target)
        try:
            if not _share_blocks(source, descriptor):
                while block := os.read(source, 1 << 20):
                    _write(descriptor, block)
            if fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, raw(name), src_dir_fd=target, dst_dir_fd=target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=target)
        raise
    finally:
        os.close(source)


def _share_blocks(source: int, target: int) -> bool:
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fcntl.ioctl(target, _CLONE, source)
    except OSError:
        return False
    return True


def _write(descriptor: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
