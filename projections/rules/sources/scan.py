"""What a directory of rule files holds right now.

A scan is the truth; watch events only say when to look. Contents are hashed once per
(path, device, inode, size, mtime, ctime) and again while a file is so young that the clock
might not have moved between two edits of it.
"""

from __future__ import annotations

import hashlib
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventstore.system.stat_cache import FileStamp, StatCache
from projections.rules.sources._bound_reads import read_inside, real_path
from projections.rules.sources._tree_walk import walk
from projections.rules.sources._writer_watch import WriterWatch

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from projections.rules.sources._bound_reads import FoundEntry
    from projections.rules.sources._tree_walk import Tree
    from projections.rules.sources.ignored_files import IgnoredFile

MAX_RULE_BYTES: Final = 1024 * 1024
"""Default size limit of one rule file; a larger one is rejected without being read."""

SWAP_ATTEMPTS: Final = 5
"""How often a tree is walked again where a link was swapped meanwhile."""


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """One rule file: its hash, or why it could not be read (``problem``).

    ``is_folder`` marks a path below which nothing can be seen now: a folder that cannot be
    listed, a link that cannot be followed.
    """

    path: str
    stamp: FileStamp
    sha256: str
    problem: str | None = None
    is_folder: bool = False


class Scanner:
    """Looks at one directory tree again and again, reading only what may have changed.

    ``filename`` is matched against the whole base name, and ``unlike`` says of other files why
    they are ignored. Paths are relative to ``root``, with ``/``. ``ignored`` are the files that
    the latest scan has passed over, and ``empty`` the folders without any entry.
    """

    def __init__(
        self,
        root: Path,
        filename: re.Pattern[str],
        max_bytes: int = MAX_RULE_BYTES,
        *,
        unlike: str = "is not named like a rule",
    ) -> None:
        self.root = root
        self._real_root = real_path(root) or str(root)
        self.ignored: tuple[IgnoredFile, ...] = ()
        self.empty: tuple[str, ...] = ()
        self._filename = filename
        self._unlike = unlike
        self._max_bytes = max_bytes
        self._hashed: StatCache[ScannedFile] = StatCache()
        self._writers = WriterWatch()

    def scan(self) -> dict[str, ScannedFile]:
        """Return every rule file below the root by its path, and each path with a problem.

        Raises SourceError where the root is missing, is no directory or cannot be listed. A
        folder below it that cannot be listed is a problem of its own.
        """
        self._real_root = real_path(self.root) or str(self.root)
        for _ in range(SWAP_ATTEMPTS):
            tree = walk(self.root, self._filename, self._unlike)
            found = self._look_at_all(tree)
            if not tree.moved:
                break
        self.ignored = tuple(sorted(tree.ignored))
        self.empty = tuple(tree.empty)
        self._hashed.retain(found)
        self._writers.retain(found)
        return found

    def digest(self, path: str) -> str:
        """Return the hash of any file below the root; empty where it cannot be read."""
        try:
            content, _ = self._read(str(self.root / path))
        except OSError:
            return ""
        return _sha256(content)

    def is_being_written(self, file: ScannedFile) -> bool:
        """Whether a program is still writing a file, as far as the system can tell."""
        return self._writers.is_being_written(self.root / file.path, file.path, file.stamp)

    def _read(self, path: str) -> tuple[bytes, FileStamp]:
        return read_inside(path, self._real_root, self._max_bytes)

    def _look_at_all(self, tree: Tree) -> dict[str, ScannedFile]:
        found: dict[str, ScannedFile] = {}
        for path, entry in tree.entries.items():
            try:
                found[path] = self._look_at(path, entry)
            except FileNotFoundError:
                continue  # It went while we looked: the next scan tells.
            except OSError as error:
                found[path] = _problem(path, f"cannot be read: {error.strerror}")
        for path, reason in tree.problems.items():
            found[path] = unseen_folder(path, reason)
        return found

    def read(self, file: ScannedFile) -> bytes | None:
        """Return the content that a scan hashed; ``None`` where it has changed since."""
        try:
            content, _ = self._read(str(self.root / file.path))
        except OSError:
            return None
        return content if _sha256(content) == file.sha256 else None

    def _look_at(self, path: str, entry: FoundEntry) -> ScannedFile:
        status = entry.stat()
        stamp = FileStamp.of(status)
        known = self._hashed.get(path, stamp)
        if known is not None:
            return known
        if not stat.S_ISREG(status.st_mode):
            return _problem(path, "is no regular file")
        if stamp.size > self._max_bytes:
            size = f"has {stamp.size:,} bytes, more than the {self._max_bytes:,} of a rule"
            return ScannedFile(path, stamp, "", size)
        now_ns = time.time_ns()
        content, after = self._read(entry.path)
        file = ScannedFile(path, after, _sha256(content))
        if after == stamp:
            self._hashed.put(path, stamp, file, now_ns)
        return file


def unseen_folder(path: str, reason: str) -> ScannedFile:
    """Return the finding that nothing below ``path`` can be seen, and why."""
    return ScannedFile(path, FileStamp(0, 0, 0, 0, 0), "", reason, is_folder=True)


def _problem(path: str, reason: str) -> ScannedFile:
    return ScannedFile(path, FileStamp(0, 0, 0, 0, 0), "", reason)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
