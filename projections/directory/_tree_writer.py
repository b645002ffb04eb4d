"""Changing many files of a directory so that a crash leaves nothing that looks like a user's file.

New paths are announced in a dot-file before the first of them is written. A file that is found
there after a crash, with the announced content, is ours to remove or to replace; any other
file that no manifest lists is not ours, and stays.
"""

from __future__ import annotations

import logging
import stat
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec

from eventstore.system.stat_cache import FileStamp, StatCache
from projections.directory._safe_names import ObstructedError
from projections.directory.file_changes import check_path
from projections.directory.manifest import INTENT
from projections.directory.path_claims import PRIVATE, parents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from os import stat_result

    from projections.directory._safe_tree import SafeTree

log = logging.getLogger(__name__)


class Seen:
    """Remembers what was found in each file, so that only what moved is read again."""

    def __init__(self) -> None:
        self._digests: StatCache[str] = StatCache()

    def holds(self, tree: SafeTree, path: str, digest: str, size: int) -> bool:
        """Return whether ``path`` is a regular file with this SHA-256 (hex) and size."""
        status = tree.lstat(path)
        if status is None or not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        found = self._digests.get(path, FileStamp.of(status))
        if found is None:
            try:
                content = tree.read(path)
            except PermissionError:
                return False  # Written again, it can be read.
            if content is None:
                return False
            found = sha256(content).hexdigest()
            self.remember(path, status, found)
        return found == digest

    def remember(self, path: str, status: stat_result | None, digest: str) -> None:
        """Note that ``path`` had this content when it had this status, just now."""
        if status is not None:
            self._digests.put(path, FileStamp.of(status), digest, time.time_ns())

    def forget(self, paths: Iterable[str]) -> None:
        """Drop what is known of these paths."""
        self._digests.forget(paths)


def announce(
    tree: SafeTree,
    ours: Collection[str],
    writes: Mapping[str, bytes],
    announced: Mapping[str, str],
) -> dict[str, str]:
    """Announce the paths that are new, with what is ``announced``; return their digests.

    ``ours`` are the paths that are published.
    """
    fresh = {
        path: sha256(content).hexdigest()
        for path, content in writes.items()
        if path not in ours and not path.startswith(PRIVATE)
    }
    if fresh:
        tree.write_private(INTENT, msgspec.json.encode({**announced, **fresh}))
    return fresh


def update(
    tree: SafeTree,
    seen: Seen,
    fresh: Collection[str],
    writes: Mapping[str, bytes],
    removes: Collection[str],
) -> dict[str, str]:
    """Write and remove files; return the paths where a file that is not ours is, and how.

    ``fresh`` are the paths that were announced for this. Everything is staged before anything
    changes, so a full disk changes nothing. Files that stand in the way of others go first,
    the rest only when what is new is there: a file that moves is never missing. The root reaches
    the disk with what is published.
    """
    staged = {path: tree.stage(content) for path, content in writes.items()}
    first = _in_the_way(writes, removes)
    _remove(tree, first)
    obstructed = {}
    for path, name in staged.items():
        try:
            tree.place(name, path, ours=path not in fresh)
        except ObstructedError as error:
            obstructed[path] = f"{path!r} cannot be written: {error}"
            tree.remove(name)
            tree.prune([path])
        else:
            seen.remember(path, tree.lstat(path), sha256(writes[path]).hexdigest())
    _remove(tree, [path for path in removes if path not in first])
    seen.forget(removes)
    if not tree.names_later:
        tree.sync(root=False)
    return obstructed


def clear_leftovers(tree: SafeTree, ours: Collection[str], kept: Collection[str]) -> None:
    """Remove what an update that was cut short has left: staged files, and announced ones.

    ``ours`` are the paths that are published, ``kept`` the private files that they need. Where
    one that is published was announced, the manifest lacks it: the announcement stays.
    """
    for name, _ in tree.entries():
        if name.startswith(PRIVATE) and (
            name.endswith(".tmp") or (name.endswith(".kept") and name not in kept)
        ):
            tree.remove(name)
    announced = _announced(tree)
    for path, digest in announced.items():
        if path not in ours:
            content = tree.read(path)
            if content is not None and sha256(content).hexdigest() == digest:
                tree.remove(path)
    tree.prune(announced)
    tree.sync()
    if not any(path in ours for path in announced):
        tree.remove(INTENT)


def drop_kept(tree: SafeTree, needed: Collection[str], kept: Collection[str]) -> None:
    """Remove the private files that were ``kept`` and that nothing published needs now."""
    for name in kept:
        if name not in needed:
            tree.remove(name)


def obstacle(tree: SafeTree, ours: Collection[str], path: str) -> str | None:
    """Return which file that is not ours keeps ``path`` from being written, if one does."""
    for parent in reversed(list(parents(path))):
        status = tree.lstat(parent)
        if status is None or stat.S_ISLNK(status.st_mode) or parent in ours:
            return None
        if not stat.S_ISDIR(status.st_mode):
            return f"{parent!r} is a file that is not ours"
    status = tree.lstat(path)
    if status is None or stat.S_ISLNK(status.st_mode):
        return None
    if not stat.S_ISDIR(status.st_mode):
        return None if path in ours else f"{path!r} is a file that is not ours"
    return _strange_below(tree, ours, path)


def strangers(tree: SafeTree, ours: Collection[str]) -> list[str]:
    """Return the paths that are not among ``ours``, sorted; an empty directory ends in ``/``."""
    needed = {parent for path in ours for parent in parents(path)}
    found, todo = [], [""]
    while todo:
        entries = tree.entries(above := todo.pop())
        if not entries and above and above not in needed:
            found.append(f"{above}/")
        for path, is_directory in entries:
            if is_directory:
                todo.append(path)
            elif path not in ours and not path.startswith(PRIVATE):
                found.append(path)
    return sorted(found)


def own_files(tree: SafeTree, ours: Collection[str]) -> tuple[dict[str, int], list[str]] | None:
    """Return the inodes of ``ours``, and the projection's private files; None where others are.

    What the files hold is not looked at.
    """
    inodes: dict[str, int] = {}
    private, todo = [], [""]
    while todo:
        for path, inode, is_directory in tree.listing(todo.pop()):
            if is_directory:
                todo.append(path)
            elif path in ours:
                inodes[path] = inode
            elif path.startswith(PRIVATE):
                private.append(path)
            else:
                return None
    return (inodes, private) if len(inodes) == len(ours) else None


def _strange_below(tree: SafeTree, ours: Collection[str], path: str) -> str | None:
    needed = {parent for each in ours for parent in parents(each)}
    todo = [path]
    while todo:
        for found, is_directory in tree.entries(todo.pop()):
            if is_directory and found in needed:
                todo.append(found)
            elif is_directory or found not in ours:
                return f"{path!r} is a directory with {found!r} in it, which is not ours"
    return None


def _announced(tree: SafeTree) -> dict[str, str]:
    """Return the digests of the announced paths; none where the file is not what we write."""
    raw = tree.read(INTENT)
    try:
        announced = {} if raw is None else msgspec.json.decode(raw, type=dict[str, str])
        for path in announced:
            check_path(path)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        # Ours is written at once and complete: this is another program's.
        log.warning("%s is passed over: %s", INTENT, error)
        return {}
    return announced


def _in_the_way(writes: Mapping[str, bytes], removes: Collection[str]) -> set[str]:
    if not removes:
        return set()
    needed = {parent for path in writes for parent in parents(path)}
    return {
        path
        for path in removes
        if path in needed or any(parent in writes for parent in parents(path))
    }


def _remove(tree: SafeTree, paths: Collection[str]) -> None:
    for path in paths:
        tree.remove(path)
    tree.prune(paths)
