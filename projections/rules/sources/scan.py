"""What a directory of rule files holds right now.

A scan is the truth; watch events only say when to look. Contents are hashed once per
(path, device, inode, size, mtime, ctime) and again while a file is so young that the clock
might not have moved between two edits of it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventstore.system.stat_cache import FileStamp, StatCache
from projections.rules.formats.scratch_names import ignored_folder
from projections.rules.sources._bound_reads import FoundEntry, read_inside, real_path
from projections.rules.sources._tree_walk import no_rule, walk
from projections.rules.sources._writer_watch import WriterWatch
from projections.rules.sources.ignored_files import IgnoredFile
from projections.rules.sources.source_error import MANIFESTS

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable
    from pathlib import Path

    from projections.rules.sources._tree_walk import Tree

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
        self._found: dict[str, ScannedFile] = {}
        self._plain: tuple[int, int] | None = None
        """The root, where the latest scan has found files of one name each and folders only."""
        self._linked = False
        self._young: set[str] = set()

    def scan(self) -> dict[str, ScannedFile]:
        """Return every rule file below the root by its path, and each path with a problem.

        Raises SourceError where the root is missing, is no directory or cannot be listed. A
        folder below it that cannot be listed is a problem of its own.
        """
        self._real_root = real_path(self.root) or str(self.root)
        self._plain, self._linked, self._young = None, False, set()
        root = _identity(self.root)
        for _ in range(SWAP_ATTEMPTS):
            tree = walk(self.root, self._filename, self._unlike)
            found = self._look_at_all(tree)
            if not tree.moved:
                break
        self.ignored = tuple(sorted(tree.ignored))
        self.empty = tuple(tree.empty)
        self._hashed.retain(found)
        self._writers.retain(found)
        if not (tree.links or tree.problems or self._linked):
            self._plain = root
        self._found = found
        return found

    def scan_again(self, paths: Iterable[str]) -> tuple[dict[str, ScannedFile], set[str]] | None:
        """Return what :meth:`scan` would where only these paths may have changed, and which have.

        None where that takes a whole scan: with links, hard links or folders that cannot be
        seen, where one of the paths is a folder, and where the root is another directory.
        """
        if self._plain is None or self._plain != _identity(self.root):
            return None
        paths, self._young = {*paths, *self._young}, set()
        fresh: dict[str, ScannedFile | None] = {}
        ignored = {one.path: one for one in self.ignored}
        empty = set(self.empty)
        try:
            for path in paths:
                folder, _, name = path.rpartition("/")
                if not any(map(ignored_folder, folder.split("/") if folder else ())):
                    fresh[path] = self._look_again(path, name, ignored)
                    _note_empty(self.root, folder, empty)
        except _WholeScanError:
            return None
        changed = {path for path, file in fresh.items() if file != self._found.get(path)}
        if changed:
            self._found = self._found.copy()
        for path in changed:
            if (file := fresh[path]) is None:
                del self._found[path]
            else:
                self._found[path] = file
        self.ignored = tuple(sorted(ignored.values()))
        self.empty = tuple(sorted(empty))
        return self._found, changed

    def _look_again(
        self, path: str, name: str, ignored: dict[str, IgnoredFile]
    ) -> ScannedFile | None:
        """Look at one path; None where no rule is there."""
        ignored.pop(path, None)
        full = f"{self.root}/{path}"
        try:
            status = os.lstat(full)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _WholeScanError from error
        mode = status.st_mode
        linked = stat.S_ISREG(mode) and status.st_nlink > 1
        if stat.S_ISLNK(mode) or stat.S_ISDIR(mode) or linked or name in MANIFESTS:
            raise _WholeScanError
        hidden = name.startswith(".")
        reason = "is hidden" if hidden else no_rule(name, self._filename, self._unlike)
        if reason is not None:
            ignored[path] = IgnoredFile(path, reason)
            return None
        return self._look_safely(path, FoundEntry(name, full, is_symlink=False, is_folder=False))

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
            file = self._look_safely(path, entry)
            if file is not None:
                found[path] = file
        for path, reason in tree.problems.items():
            found[path] = unseen_folder(path, reason)
        return found

    def _look_safely(self, path: str, entry: FoundEntry) -> ScannedFile | None:
        try:
            return self._look_at(path, entry)
        except FileNotFoundError:
            return None  # It went while we looked: the next scan tells.
        except OSError as error:
            return _problem(path, f"cannot be read: {error.strerror}")

    def read(self, file: ScannedFile) -> bytes | None:
        """Return the content that a scan hashed; ``None`` where it has changed since."""
        try:
            content, _ = self._read(str(self.root / file.path))
        except OSError:
            return None
        return content if _sha256(content) == file.sha256 else None

    def _look_at(self, path: str, entry: FoundEntry) -> ScannedFile:
        status = entry.stat()
        self._linked = self._linked or status.st_nlink > 1
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
        if not stamp.proves(now_ns):
            self._young.add(path)
        if after == stamp:
            self._hashed.put(path, stamp, file, now_ns)
        return file


class _WholeScanError(Exception):
    """What has changed cannot be told from single paths. Never leaves this module."""


def _identity(root: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(root)  # noqa: PTH116 - as the paths below it
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _note_empty(root: Path, folder: str, empty: set[str]) -> None:
    """Note whether a folder below the root has any entry."""
    if not folder:
        return
    try:
        with os.scandir(root / folder) as entries:
            filled = next(entries, None) is not None
    except OSError as error:
        raise _WholeScanError from error
    if filled:
        empty.discard(f"{folder}/")
    else:
        empty.add(f"{folder}/")


def unseen_folder(path: str, reason: str) -> ScannedFile:
    """Return the finding that nothing below ``path`` can be seen, and why."""
    return ScannedFile(path, FileStamp(0, 0, 0, 0, 0), "", reason, is_folder=True)


def _problem(path: str, reason: str) -> ScannedFile:
    return ScannedFile(path, FileStamp(0, 0, 0, 0, 0), "", reason)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
