"""File operations that cannot leave a directory, even through links in it.

Every component of a path is opened on its own, relative to the directory above it, and
never through a symbolic link (``openat`` with ``O_NOFOLLOW``), so a link that is put
there a moment later leads nowhere either. Needs a POSIX system.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError, StorageError
from eventstore.system import fork_hooks
from eventstore.system.file_lock import try_lock
from eventstore.system.safe_files import DEFAULT_MODE, create_new, open_regular, random_token
from projections.directory._safe_names import (
    ObstructedError,
    clear_directory,
    clear_stranger,
    link,
    make_directory,
    raw,
)
from projections.directory._second_names import give_second_name
from projections.directory.path_claims import PRIVATE, parents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_DIRECTORY: Final = (
    os.O_RDONLY
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
# Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
_READ: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_NO_FILE: Final = _NOT_THERE | {errno.ENXIO, errno.EISDIR, errno.EINVAL}
_OPEN_DIRECTORIES: Final = 256

READ_ONLY: Final = 0o444
"""Permissions, less the umask, of a file that no program may write to."""


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn what the operating system raises into StorageError, naming the file."""
    try:
        yield
    except OSError as error:
        name = error.filename2 or error.filename
        if isinstance(name, bytes):
            name = name.decode("utf-8", "replace")
        reason = error.strerror or type(error).__name__
        raise StorageError(where, f"{name}: {reason}" if name else reason) from error


class SafeTree:
    """One directory, held open. Paths are relative to it, parted by ``/`` and checked before.

    Methods raise OSError where the system fails. Directories below stay open until
    :meth:`release`. With ``fsync`` false nothing is forced to the disk: for tests, and for
    trees that are cheaper to rebuild than to keep. With ``names_later`` a file's content is, and
    its name with the next private file that is ``synced``. ``names`` gives the projection's own
    files in the root other names on disk. With ``read_only`` its files are made so that no program
    may write into them: they may have names in other trees.
    """

    def __init__(
        self,
        root: Path,
        *,
        fsync: bool = True,
        names_later: bool = False,
        names: Mapping[str, str] | None = None,
        read_only: bool = False,
    ) -> None:
        if os.open not in os.supports_dir_fd:
            raise ConfigError("a directory projection needs a POSIX system")
        self._path = Path(os.path.realpath(root))
        self._fsync = fsync
        self._names_later = names_later
        self._mode = READ_ONLY if read_only else DEFAULT_MODE
        self._names = names or {}
        self._root = os.open(self._path, _DIRECTORY)
        self._open: dict[str, int] = {}
        self._unsynced: set[str] = set()
        self._owned = False

    def lock(self) -> None:
        """Own the directory until :meth:`close`; BlockingIOError where another does."""
        if not try_lock(self._root):
            raise BlockingIOError(errno.EAGAIN, "is locked by another process", str(self._path))
        fork_hooks.track(self)
        self._owned = True

    def after_fork(self) -> None:
        """Open the directory anew, in a forked child: what it inherited keeps the lock."""
        self._owned = False
        with suppress(OSError):
            fresh = os.open(self._path, _DIRECTORY)
            os.dup2(fresh, self._root, inheritable=False)
            os.close(fresh)

    def close(self) -> None:
        """Let go of the directory."""
        fork_hooks.untrack(self)
        self.release()
        os.close(self._root)

    @property
    def is_owned(self) -> bool:
        """Whether this process has the lock."""
        return self._owned

    def release(self) -> None:
        """Close the directories below the root: between calls, others may move them."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def check(self) -> None:
        """Raise StorageError where the root was removed or replaced."""
        try:
            now = self._path.stat()
        except FileNotFoundError:
            now = None
        if now is None or not os.path.samestat(now, os.fstat(self._root)):
            raise StorageError(
                str(self._path),
                "was removed or replaced while in use: start the projection again to rebuild it",
            )

    @property
    def has_own_names(self) -> bool:
        """Whether the projection's own files have other names than the usual ones."""
        return bool(self._names)

    def take_over(self, is_mine: Callable[[bytes], bool]) -> None:
        """Rename what an older version has written under the projection's usual names.

        The first of ``names`` is the manifest, and ``is_mine`` says whether one is to be taken.
        It is renamed last, so that a crash leaves the old name or all new ones.
        """
        names, self._names = self._names, {}
        try:
            manifest = next(iter(names), None)
            if manifest is None or self.lstat(names[manifest]) is not None:
                return
            if (content := self.read(manifest)) is None or not is_mine(content):
                return
            for old, new in reversed(list(names.items())):
                with suppress(FileNotFoundError):
                    os.rename(old, new, src_dir_fd=self._root, dst_dir_fd=self._root)
            self.touch(manifest)
            self.sync()
        finally:
            self._names = names

    def lstat(self, path: str) -> os.stat_result | None:
        """Return the status of ``path``, a link's own included; ``None`` if nothing is there."""
        path = self._names.get(path, path)
        directory, _, name = path.rpartition("/")
        try:
            descriptor = self._directory(directory)
            return os.stat(raw(name), dir_fd=descriptor, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return None
            raise

    def read(self, path: str) -> bytes | None:
        """Return a regular file's content, ``None`` where there is no such file."""
        path = self._names.get(path, path)
        directory, _, name = path.rpartition("/")
        try:
            descriptor = os.open(raw(name), _READ, dir_fd=self._directory(directory))
        except OSError as error:
            if error.errno in _NOT_THERE or error.errno == errno.ENXIO:
                return None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                return file.readall()
        finally:
            os.close(descriptor)

    def stage(self, content: bytes, *, private: bool = False, synced: bool = True) -> str:
        """Write ``content`` under a private name in the root; return the name.

        A ``private`` file may be written to again. Unless ``synced``, it is not durable yet.
        """
        name = f"{PRIVATE}-{random_token()}.tmp"
        mode = DEFAULT_MODE if private else self._mode
        descriptor = create_new(name, mode, directory=self._root)
        with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            if self._fsync and synced:
                os.fsync(descriptor)
        return name

    def place(self, staged: str, path: str, *, ours: bool) -> None:
        """Give a staged file its name at once; make the directories that it needs.

        What stands there is replaced if it is ``ours``. Otherwise a symbolic link or an
        empty directory makes way, and anything else raises :class:`ObstructedError`.
        """
        directory, _, name = path.rpartition("/")
        descriptor = self._directory(directory, create=True)
        if ours:
            clear_directory(descriptor, name)
            os.replace(staged, raw(name), src_dir_fd=self._root, dst_dir_fd=descriptor)
        else:
            clear_stranger(descriptor, name)
            link(self._root, staged, descriptor, name)
        self.touch(path)

    @property
    def names_later(self) -> bool:
        """Whether names reach the disk with the next private file that is synced only."""
        return self._names_later

    def write_private(self, name: str, content: bytes, *, synced: bool = True) -> None:
        """Replace one of the projection's own files in the root, at once and durably.

        Unless ``synced``, its new name is durable with the next file's only.
        """
        try:
            staged = self.stage(content, private=True)
            self.place(staged, self._names.get(name, name), ours=True)
        except ObstructedError as error:
            raise StorageError(str(self._path), f"{error}: move it away") from error
        if synced:
            self.sync()

    def share(self, other: SafeTree, path: str) -> None:
        """Give a file of another tree the same path here, without a copy where that can be.

        What is here under that path has to be removed before. A file that is missing there is
        passed over.
        """
        directory, _, name = path.rpartition("/")
        target = self._directory(directory, create=True)
        try:
            above = other._directory(directory)
            give_second_name(above, target, name, mode=self._mode, fsync=self._fsync)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
        self.touch(path)

    def set_mode(self, path: str, mode: int) -> None:
        """Take from a file's permissions what ``mode`` has not; its content may have more names."""
        directory, _, name = path.rpartition("/")
        with suppress(FileNotFoundError):
            descriptor = open_regular(raw(name), directory=self._directory(directory))
            try:
                os.fchmod(descriptor, stat.S_IMODE(os.fstat(descriptor).st_mode) & mode)
            finally:
                os.close(descriptor)

    def append(self, name: str, content: bytes, *, size: int) -> bool:
        """Add to one of the projection's own files in the root, durably, after :meth:`sync`.

        With ``names_later`` it is not durable, and what it names may not be.
        Returns False where the file is not as it was left: ``size`` bytes long, with no other name.
        """
        path = raw(self._names.get(name, name))
        try:
            descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND, directory=self._root)
        except OSError as error:
            if error.errno in _NO_FILE:
                return False
            raise
        with open(descriptor, "ab", buffering=0) as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(descriptor)
            # Another name may be that of a backup's file, which must not change.
            if (status.st_size, status.st_nlink) != (size, 1):
                return False
            if not self._names_later:
                self.sync()
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
            if self._fsync and not self._names_later:
                os.fsync(descriptor)
        return True

    def remove(self, path: str) -> None:
        """Remove a file or a link, if it is there. A directory stays: it is not ours."""
        path = self._names.get(path, path)
        directory, _, name = path.rpartition("/")
        try:
            os.unlink(raw(name), dir_fd=self._directory(directory))
        except IsADirectoryError:
            return
        except OSError as error:
            if error.errno in _NOT_THERE:
                return
            raise
        self.touch(path)

    def prune(self, paths: Iterable[str]) -> None:
        """Remove the directories above ``paths`` that are empty now."""
        above = {parent for path in paths for parent in parents(path)}
        for path in sorted(above, key=lambda path: path.count("/"), reverse=True):
            directory, _, name = path.rpartition("/")
            try:
                os.rmdir(raw(name), dir_fd=self._directory(directory))
            except OSError as error:
                if error.errno in _NOT_THERE or error.errno in {errno.ENOTEMPTY, errno.EBUSY}:
                    continue
                raise
            if path in self._open:
                os.close(self._open.pop(path))
            self.touch(path)

    def touch(self, path: str) -> None:
        """Note that the directory of ``path`` has to reach the disk."""
        self._unsynced.add(path.rpartition("/")[0])

    def sync(self, *, root: bool = True) -> None:
        """Force every changed directory to the disk; with ``root`` false, all but the root."""
        for path in sorted(self._unsynced):
            if path or root:
                if self._fsync:
                    with suppress(FileNotFoundError, NotADirectoryError):
                        os.fsync(self._directory(path))
                self._unsynced.discard(path)

    def entries(self, path: str = "") -> list[tuple[str, bool]]:
        """Return the paths in a directory and whether each is one; nothing if it is none."""
        try:
            descriptor = self._directory(path)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return []
            raise
        prefix = f"{path}/" if path else ""
        with os.scandir(descriptor) as found:
            return [(prefix + e.name, e.is_dir(follow_symlinks=False)) for e in found]

    def listing(self, path: str = "") -> list[tuple[str, int, bool]]:
        """Return the paths in a directory, each with its inode and whether it is a directory."""
        prefix = f"{path}/" if path else ""
        with os.scandir(self._directory(path)) as found:
            return [(prefix + e.name, e.inode(), e.is_dir(follow_symlinks=False)) for e in found]

    def _directory(self, path: str, *, create: bool = False) -> int:
        if not path:
            return self._root
        if (known := self._open.get(path)) is not None:
            return known
        descriptor, at = self._root, ""
        for name in path.split("/"):
            above, at = at, f"{at}/{name}" if at else name
            if (known := self._open.get(at)) is None:
                if len(self._open) >= _OPEN_DIRECTORIES:
                    self._release_except(above)
                known = self._open[at] = self._enter(descriptor, name, at, create=create)
            descriptor = known
        return descriptor

    def _release_except(self, path: str) -> None:
        kept = self._open.pop(path, None)
        self.release()
        if kept is not None:
            self._open[path] = kept

    def _enter(self, above: int, name: str, path: str, *, create: bool) -> int:
        if create:
            try:
                make_directory(above, name)
            except FileExistsError:
                pass
            else:
                self.touch(path)
        try:
            return os.open(raw(name), _DIRECTORY, dir_fd=above)
        except OSError as error:
            if create and error.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise ObstructedError(f"{path!r} is a file that is not ours") from error
            raise
