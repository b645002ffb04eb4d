"""Creating files safely: written under a temporary name, made durable, then renamed.

A temporary name cannot be guessed, and is only used where nothing has it yet, not even a link:
a file or link that another user put there is never written through. A crash leaves the old
file, or the new one, under the final name.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from eventstore.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_MODE: Final = 0o666
"""Permissions of a new file, less the process's umask."""

SAFE_FLAGS: Final = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)
"""Neither follow a link, nor wait for a reader or writer of a pipe, nor pass it to a program."""

_NO_HARD_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
"""What a file system without hard links says."""

_NEW: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def random_token() -> str:
    """Return 16 hex digits that cannot be guessed, for a temporary name."""
    return secrets.token_hex(8)


def create_new(path: Path | str, mode: int = DEFAULT_MODE, *, directory: int | None = None) -> int:
    """Create a file where there is nothing, and return its descriptor, open for writing.

    ``directory`` is an open directory to which ``path`` is relative. Raises FileExistsError
    where a file or a link is there, and any other OSError.
    """
    return os.open(path, _NEW, mode, dir_fd=directory)


def open_regular(
    path: Path | str | bytes,
    flags: int = os.O_RDONLY,
    mode: int = DEFAULT_MODE,
    *,
    directory: int | None = None,
    follow: bool = False,
) -> int:
    """Open a regular file and return its descriptor; a pipe, a device or a socket never blocks.

    A link as the last part of ``path`` is followed only with ``follow``. ``directory`` is an
    open directory to which ``path`` is relative. Raises OSError: with EISDIR for a directory,
    with EINVAL for what else is no regular file.
    """
    safe = SAFE_FLAGS & ~getattr(os, "O_NOFOLLOW", 0) if follow else SAFE_FLAGS
    descriptor = os.open(path, flags | safe, mode, dir_fd=directory)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fsdecode(path))
        raise OSError(errno.EINVAL, "is no regular file", os.fsdecode(path))
    return descriptor


def read_regular(path: Path | str, most: int = -1, *, follow: bool = False) -> bytes:
    """Return at most ``most`` bytes of a regular file; raise what :func:`open_regular` raises."""
    with open(open_regular(path, follow=follow), "rb") as file:
        return file.read(most)


@contextmanager
def replacing(path: Path, *, mode: int = DEFAULT_MODE, replace: bool = True) -> Iterator[Path]:
    """Give an empty temporary file beside ``path``; at the end it is synced and gets that name.

    A file that it replaces hands on its permissions; otherwise they are ``mode`` less the
    umask. Without ``replace`` the name must still be free at the end. An exception, or a killed
    process, leaves nothing under the final name that was not there before. Raises StorageError
    where the file system fails.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links are left as they are
    temporary = path.with_name(f".{path.name}.{random_token()}.part")
    try:
        try:
            final_mode = _create_writable(temporary, path, mode)
            yield temporary
            _finish(temporary, final_mode)
            _name(temporary, path, replace=replace)
            sync(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        # Without the temporary name, which says nothing to a reader.
        raise StorageError(str(path), _explain(error, path)) from error


@contextmanager
def writing(path: Path, *, mode: int = DEFAULT_MODE, replace: bool = True) -> Iterator[IO[bytes]]:
    """Give a binary file to write; at the end its content is at ``path``, as :func:`replacing`."""
    with (
        replacing(path, mode=mode, replace=replace) as temporary,
        temporary.open("r+b") as file,
    ):
        yield file


def permissions(path: Path | None) -> int:
    """Return the permissions of a file, for a copy of its content; the default without one.

    A copy of what is private has to be private too.
    """
    if path is None:
        return DEFAULT_MODE
    try:
        return stat.S_IMODE(path.stat().st_mode) & DEFAULT_MODE
    except OSError:
        return DEFAULT_MODE


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _create_writable(temporary: Path, path: Path, mode: int) -> int:
    """Create a file that its owner may write; return the permissions it is to have at the end.

    Those may forbid writing: a copy of a file of mode 0444 is opened again to be filled.
    """
    file = create_new(temporary, mode)
    try:
        final = stat.S_IMODE(os.fstat(file).st_mode)
        with suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                final = stat.S_IMODE(status.st_mode) & DEFAULT_MODE
        if hasattr(os, "fchmod"):
            os.fchmod(file, final | stat.S_IRUSR | stat.S_IWUSR)
    finally:
        os.close(file)
    return final


def _name(temporary: Path, path: Path, *, replace: bool) -> None:
    """Give a finished file its name."""
    if not replace:
        try:
            path.hardlink_to(temporary)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS or os.path.lexists(path):
                raise
        else:
            return  # Its temporary name is removed at the end.
    temporary.replace(path)


def _explain(error: OSError, path: Path) -> str:
    if isinstance(error, FileNotFoundError) and not path.parent.exists():
        return f"no directory at {path.parent}"
    return error.strerror or str(error)


def _finish(temporary: Path, mode: int) -> None:
    """Give a file its permissions, and make it durable."""
    file = os.open(temporary, os.O_RDONLY)
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(file, mode)
        os.fsync(file)
    finally:
        os.close(file)
