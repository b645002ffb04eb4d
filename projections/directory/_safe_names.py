"""Making way for one name in a directory that is held open, without losing what is not ours."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import Final

NO_HARD_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What a file system without hard links says, or one that has no more of them for a file."""


class ObstructedError(Exception):
    """Something that is not ours stands where a file has to be. Never leaves this package."""


def raw(name: str) -> bytes:
    """Return a name as the file system has it: UTF-8 in every locale.

    Raises OSError for a name that would lead elsewhere: it comes from a path that was not checked.
    """
    if name in {"", ".", ".."} or "/" in name:
        raise OSError(errno.EINVAL, "is no name of a file in a directory", name)
    return name.encode("utf-8", "surrogateescape")


def make_directory(above: int, name: str) -> None:
    """Make a directory; a link in its place, never what it points to, makes way.

    ``above`` is the open directory's descriptor. Raises FileExistsError where another file
    or a directory is there.
    """
    with suppress(FileNotFoundError):
        status = os.stat(raw(name), dir_fd=above, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            os.unlink(raw(name), dir_fd=above)
    os.mkdir(raw(name), dir_fd=above)


def clear_directory(above: int, name: str) -> None:
    """Make way where a directory is; raise ObstructedError if there is something in it."""
    try:
        os.rmdir(raw(name), dir_fd=above)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EBUSY}:
            raise
        raise ObstructedError(f"{name!r} is a directory with files that are not ours") from error


def clear_stranger(above: int, name: str) -> None:
    """Make way where a link or an empty directory is; raise ObstructedError for the rest."""
    try:
        mode = os.stat(raw(name), dir_fd=above, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        clear_directory(above, name)
    elif stat.S_ISLNK(mode):
        os.unlink(raw(name), dir_fd=above)
    else:
        raise ObstructedError(f"{name!r} is a file that is not ours")


def link(root: int, staged: str, above: int, name: str) -> None:
    """Move a staged file from ``root`` to a name that is free; ObstructedError if it is not.

    Unlike a rename, a hard link never takes the place of a file that came a moment ago.
    Where the file system has none, a rename has to do.
    """
    try:
        os.link(staged, raw(name), src_dir_fd=root, dst_dir_fd=above)
    except FileExistsError as error:
        raise ObstructedError(f"{name!r} is a file that is not ours") from error
    except OSError as error:
        if error.errno not in NO_HARD_LINKS:
            raise
        os.replace(staged, raw(name), src_dir_fd=root, dst_dir_fd=above)
    else:
        os.unlink(staged, dir_fd=root)
