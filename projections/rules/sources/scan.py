"""What a directory of rule files holds right now.

A scan is the truth; watch events only say when to look. Contents are hashed once per
(path, device, inode, size, mtime, ctime) and again while a file is so young that the clock
might not have moved between two edits of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventstore.errors import EventStoreError
from eventstore.system.stat_cache import FileStamp, StatCache
from projections.rules.formats import is_rule_file

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

MAX_RULE_BYTES: Final = 1024 * 1024
"""Default size limit of one rule file; a larger one is rejected without being read."""


class SourceError(EventStoreError):
    """A directory of rules cannot be taken as it is; what is known of it stays.

    ``root`` is the directory.
    """

    def __init__(self, root: Path, reason: str) -> None:
        super().__init__(f"{root}: {reason}")
        self.root = root
        self.reason = reason


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """One rule file: its hash, or why it could not be read (``problem``)."""

    path: str
    stamp: FileStamp
    sha256: str
    problem: str | None = None


class Scanner:
    """Looks at one directory tree again and again, reading only what may have changed.

    ``filename`` is matched against the whole base name; hidden files and folders never
    count. Paths are relative to ``root``, with ``/``.
    """

    def __init__(
        self, root: Path, filename: re.Pattern[str], max_bytes: int = MAX_RULE_BYTES
    ) -> None:
        self.root = root
        self._filename = filename
        self._max_bytes = max_bytes
        self._hashed: StatCache[ScannedFile] = StatCache()

    def scan(self) -> dict[str, ScannedFile]:
        """Return every rule file below the root by its path.

        Raises SourceError where the root is missing, is no directory or cannot be listed,
        and where a directory below it cannot be: half a tree is worse than none.
        """
        found: dict[str, ScannedFile] = {}
        real_root = os.path.realpath(self.root)
        for path, entry in self._walk():
            try:
                found[path] = self._look_at(path, entry, real_root)
            except FileNotFoundError:
                if os.path.islink(entry.path):  # noqa: PTH114 - as cheap as the rest
                    found[path] = _problem(path, "is a link to nothing")
                continue  # It went while we looked: the next scan tells.
            except OSError as error:
                found[path] = _problem(path, f"cannot be read: {error.strerror}")
        self._hashed.retain(found)
        return found

    def read(self, file: ScannedFile) -> bytes | None:
        """Return the content that a scan hashed; ``None`` where it has changed since."""
        try:
            content, _ = _read_regular(self.root / file.path, self._max_bytes)
        except OSError:
            return None
        return content if _sha256(content) == file.sha256 else None

    def _walk(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        # Not by recursion: a tree may be nested more deeply than Python's stack.
        folders = [(str(self.root), "")]
        while folders:
            folder, prefix = folders.pop()
            for entry in self._list(folder, prefix):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, f"{prefix}{entry.name}/"))
                elif is_rule_file(entry.name, self._filename):
                    yield prefix + entry.name, entry

    def _list(self, folder: str, prefix: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except FileNotFoundError as error:
            if not prefix:
                raise SourceError(self.root, "is not there; its rules stay as they are") from error
            return []
        except OSError as error:
            reason = f"{printable(prefix) or 'it'} cannot be listed: {error.strerror}"
            raise SourceError(self.root, reason) from error
        if any(entry.name == ".eventstore.json" for entry in entries):
            raise SourceError(
                self.root,
                f"{printable(prefix) or 'it'} is a projected directory: syncing it would feed the "
                "log with its own output; name the directory that people edit",
            )
        return entries

    def _look_at(self, path: str, entry: os.DirEntry[str], real_root: str) -> ScannedFile:
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            if not target.startswith(real_root + os.sep):
                return _problem(path, "is a link that leads out of the directory")
        stamp = FileStamp.of(entry.stat())
        known = self._hashed.get(path, stamp)
        if known is not None:
            return known
        if not entry.is_file():
            return _problem(path, "is no regular file")
        if stamp.size > self._max_bytes:
            size = f"has {stamp.size:,} bytes, more than the {self._max_bytes:,} of a rule"
            return ScannedFile(path, stamp, "", size)
        now_ns = time.time_ns()
        content, after = _read_regular(Path(entry.path), self._max_bytes)
        file = ScannedFile(path, after, _sha256(content))
        if after == stamp:
            self._hashed.put(path, stamp, file, now_ns)
        return file


def printable(path: str) -> str:
    """Return a path as text that can be stored, also where the name is not UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode()


def _read_regular(path: Path, max_bytes: int) -> tuple[bytes, FileStamp]:
    """Read at most one byte more than a rule may have, and what the file is afterwards.

    Opened without blocking, and only read if it is still a regular file: a named pipe that
    took its place would never end.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file any more")
        content = stream.read(max_bytes + 1)
        return content, FileStamp.of(os.fstat(stream.fileno()))


def _problem(path: str, reason: str) -> ScannedFile:
    return ScannedFile(path, FileStamp(0, 0, 0, 0, 0), "", reason)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
