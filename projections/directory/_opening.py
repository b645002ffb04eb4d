"""Opening a projected directory: whose it is, where it is, and what is published in it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eventstore.errors import HistoryDivergedError, StorageError
from projections.directory.content import JournalFormat
from projections.directory.manifest import (
    ADVICE,
    FORMAT,
    INTENT,
    MANIFEST,
    ForeignDirectoryError,
    Manifest,
    published,
)
from projections.directory.path_claims import PRIVATE
from projections.protocol import ProjectionBusyError

if TYPE_CHECKING:
    from eventstore.log.events import Cursor
    from projections.directory._safe_tree import SafeTree
    from projections.directory.commit_journal import Journal
    from projections.directory.content import Companion, CompanionFormat

OWNER: Final = f"{PRIVATE}.owner"
"""The file that names the owner, ``HOST:PID``, while there is one."""


def make_root(root: Path) -> Path:
    """Return the real path of the directory, made if it is missing.

    Raises StorageError where a file is in its place.
    """
    real = Path(os.path.realpath(root))
    try:
        real.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        reason = "is a file, or lies below one: name a directory"
        raise StorageError(str(root), reason) from error
    return real


def check_owner(tree: SafeTree, name: str) -> None:
    """Lock the directory; raise ProjectionBusyError where another runner holds the lock."""
    try:
        tree.lock()
    except BlockingIOError as error:
        owner = (tree.read(OWNER) or b"another process").decode(errors="replace")
        raise ProjectionBusyError(name, owner[:200]) from error
    tree.check()


def write_owner(tree: SafeTree) -> None:
    """Write down which process has the directory."""
    tree.write_private(OWNER, f"{socket.gethostname()}:{os.getpid()}".encode())


def load_manifest(
    tree: SafeTree, root: Path, name: str, log_id: str
) -> tuple[Manifest, Journal | None]:
    """Return the manifest as the journal continues it, an empty one in an empty directory.

    Raises ForeignDirectoryError where the directory is not this projection's, and
    HistoryDivergedError where it was made from another log.
    """
    manifest, journal = published(tree, f"{root}/{MANIFEST}")
    if manifest is None:
        manifest = _first_manifest(tree, root, name, log_id)
    if manifest.projection != name:
        found = f"belongs to the projection {manifest.projection!r}, not {name!r}"
        raise ForeignDirectoryError(str(root), found)
    if manifest.log_id != log_id:
        reason = f"{root} was made from the log {manifest.log_id}; {ADVICE}"
        raise HistoryDivergedError(manifest.position, 0, reason)
    return manifest, journal


def _first_manifest(tree: SafeTree, root: Path, name: str, log_id: str) -> Manifest:
    others = sorted(path for path, _ in tree.entries() if not path.startswith(PRIVATE))
    if tree.has_own_names and (root / MANIFEST).exists():
        # This projection's own would have been renamed.
        raise ForeignDirectoryError(str(root), f"has the {MANIFEST} of another projection")
    if others:
        found = f"is not empty ({others[0]!r}, {len(others)} in all) and has no {MANIFEST}"
        raise ForeignDirectoryError(str(root), found)
    tree.remove(INTENT)
    return Manifest(FORMAT, name, log_id, 0, "", {})


def load_companion(
    tree: SafeTree,
    root: Path,
    format_: CompanionFormat | None,
    cursor: Cursor,
    journal: Journal | None,
) -> Companion | None:
    """Return the companion that belongs to the manifest at ``cursor``; None without one."""
    if format_ is None:
        return None
    if not cursor.position:
        return format_.empty(cursor.log_id)
    raw = tree.read(format_.name) or b""
    try:
        companion = format_.decode(raw, str(root / format_.name))
        if companion.cursor != cursor and journal is not None and journal.lines:
            if not isinstance(format_, JournalFormat) or format_.checksum(raw) != journal.companion:
                return None
            companion = format_.continued(companion, journal.lines)
    except StorageError:
        return None
    return companion if companion.cursor == cursor else None
