"""What differs between a projected directory and the log that it is made from; nothing is changed.

The log is folded anew up to the position that the directory names. So a manifest that was
changed together with the files is found as well.
"""

from __future__ import annotations

import stat
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from eventstore.errors import StorageError
from eventstore.log.inline_projection import is_named_by_trims
from projections.directory._atomic_link import AtomicLink
from projections.directory._safe_tree import SafeTree, translate_errors
from projections.directory._tree_writer import strangers
from projections.directory.file_changes import fold
from projections.directory.manifest import MANIFEST, published
from projections.directory.path_claims import Claims

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from eventstore.log.events import Cursor, Event
    from projections.directory.content import DirectoryContent
    from projections.directory.path_claims import Entry

Kind: TypeAlias = Literal["missing", "changed", "extra", "mode", "type"]

_KINDS: Final = {
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_EXECUTABLE: Final = 0o111
_WRITABLE: Final = 0o222
_SPECIAL: Final = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


class Drift(NamedTuple):
    """A path that is not what the log says: how it differs, and a sentence about it."""

    path: str
    kind: Kind
    reason: str


def published_cursor(root: str | os.PathLike[str]) -> Cursor:
    """Return where in the log a projected directory is.

    Raises StorageError where nothing projects it, ManifestError where its manifest is damaged.
    """
    with translate_errors(str(root)):
        tree = SafeTree(Path(root))
        try:
            manifest, _ = published(tree, str(Path(root) / MANIFEST))
        finally:
            tree.close()
    if manifest is None:
        raise StorageError(str(root), f"has no {MANIFEST}, so nothing projects it")
    return manifest.cursor


class ExpectedFiles:
    """The files that the log says, in memory. Implements Projection, and writes nothing."""

    def __init__(self, content: DirectoryContent) -> None:
        self.name = "directory check"
        self.from_snapshot = content.from_snapshot
        self.event_filter = getattr(content, "event_filter", None)
        self.named_by_trims = is_named_by_trims(content)
        self._content = content
        self._claims = Claims()

    @property
    def files(self) -> Mapping[str, Entry]:
        """The files by path, as of the last event that was applied."""
        return self._claims.files

    def open(self, log_id: str) -> None:  # noqa: ARG002 - the protocol's
        """Begin before the first event."""
        self._claims = Claims()

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:  # noqa: ARG002
        """Apply whole commits."""
        fold(self._claims, {}, events, self._content, stop=False)

    def begin_rebuild(self) -> None:
        """Begin before the first event."""
        self._claims = Claims()

    def finish_rebuild(self) -> None:
        """Do nothing: what was applied is what is expected."""

    def close(self) -> None:
        """Do nothing: no file is held open."""


def find_drift(root: str | os.PathLike[str], expected: Mapping[str, Entry]) -> list[Drift]:
    """Compare a directory with the files that it has to hold; return what differs, by path.

    Each file is read. Nothing is written, and no lock is taken. Raises StorageError where the
    directory cannot be read.
    """
    with translate_errors(str(root)):
        shared = AtomicLink(Path(root)).number() is not None
        tree = SafeTree(Path(root))
        try:
            found = [
                drift
                for path, entry in expected.items()
                if (drift := _drift_of(tree, path, entry, shared=shared)) is not None
            ]
            wrong = {drift.path for drift in found if drift.kind == "type"}
            found += [
                Drift(path, "extra", "is not in the log")
                for path in strangers(tree, expected)
                if not any(path.startswith(f"{one}/") for one in wrong)
            ]
        finally:
            tree.close()
    return sorted(found)


def _drift_of(tree: SafeTree, path: str, entry: Entry, *, shared: bool) -> Drift | None:
    """Return how one file differs from its entry, if it does."""
    status = tree.lstat(path)
    if status is None:
        return Drift(path, "missing", "is missing")
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        return Drift(path, "type", f"is {_KINDS.get(kind, 'no regular file')}")
    if status.st_size != entry.size:
        return Drift(path, "changed", f"has {status.st_size} bytes, not {entry.size}")
    try:
        content = tree.read(path)
    except PermissionError:
        return Drift(path, "mode", f"cannot be read: its mode is {_octal(status.st_mode)}")
    if content is None or sha256(content).hexdigest() != entry.sha256:
        return Drift(path, "changed", "is not what the log says")
    return _wrong_mode(path, status.st_mode, shared=shared)


def _wrong_mode(path: str, mode: int, *, shared: bool) -> Drift | None:
    """Return whether a mode is none that a projection gives; ``shared`` files are read-only."""
    if mode & (_EXECUTABLE | _SPECIAL):
        return Drift(path, "mode", f"has mode {_octal(mode)}: no file here is executable")
    if not mode & stat.S_IRUSR:
        return Drift(path, "mode", f"has mode {_octal(mode)}: its owner cannot read it")
    if shared and mode & _WRITABLE:
        return Drift(path, "mode", f"has mode {_octal(mode)}: a program may write into it")
    return None


def _octal(mode: int) -> str:
    return f"{stat.S_IMODE(mode):04o}"
