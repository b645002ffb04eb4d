"""Whole generations of a projected directory, behind a link that is switched.

The files of a generation that was published do not change; only its manifest, its replica file and
its journal do, where a commit changes no file. An earlier one stays for a grace period. It then
becomes the next one, by what has changed since, or is removed: see
docs/decisions/0071-atomic-directories.md.
"""

from __future__ import annotations

import logging
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.errors import StorageError
from eventstore.system.safe_files import sync
from projections.directory._atomic_link import AtomicLink, generation_number
from projections.directory._opening import OWNER, check_owner, write_owner
from projections.directory._safe_tree import SafeTree
from projections.directory._tree_writer import own_files
from projections.directory.manifest import MANIFEST, ManifestError, published
from projections.directory.path_claims import PRIVATE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from projections.directory._published_tree import LiveTree
    from projections.directory.path_claims import Entry

log = logging.getLogger(__name__)

SUPERSEDED: Final = f"{PRIVATE}.superseded"
"""The file that says by its time since when a generation is an earlier one.

It also wakes those who watch that generation.
"""

REMOVED_AT_ONCE: Final = 8
"""How many generations are removed after one update."""

now: Callable[[], float] = time.time
"""The time; a test that goes on meanwhile puts its own in the place."""


class _Earlier(NamedTuple):
    """An earlier generation: since when, and which files it has with which inodes, if known."""

    since: float
    files: Mapping[str, Entry] | None = None
    inodes: Mapping[str, int] | None = None


class _AlteredError(Exception):
    """An earlier generation has other files than it was left with."""


class Generations:
    """The generations of one atomic directory, owned until :meth:`close`.

    ``tree`` is the generation that the link leads to, an empty one where ``is_published`` is false.
    Methods raise OSError where the system fails, and StorageError.
    """

    def __init__(self, link: AtomicLink, name: str, *, fsync: bool, grace_seconds: float) -> None:
        self._link = link
        self._fsync = fsync
        self._grace = grace_seconds
        self._earlier: dict[int, _Earlier] = {}
        self._left_alone: set[int] = set()
        link.home.mkdir(parents=True, exist_ok=True)
        self._home = SafeTree(link.home, fsync=fsync)
        try:
            check_owner(self._home, name)
            write_owner(self._home)
        except BaseException:
            self._home.close()
            raise

    def open(self, name: str) -> SafeTree:
        """Return the generation that the link leads to, locked, or a new one; clear leftovers."""
        number = self._link.number()
        if number is not None and not (self._link.home / str(number)).is_dir():
            number = None
        self.is_published = number is not None
        self._number = self._last = number or 0
        self._clear()
        if not self.is_published:
            self._link.check_support()
            self._number = self._last = max(self._earlier, default=0) + 1
            (self._link.home / str(self._number)).mkdir()
        tree = self._tree(self._number)
        try:
            check_owner(tree, name)
        except BaseException:
            tree.close()
            raise
        return tree

    def check(self) -> None:
        """Raise StorageError where the link was removed or replaced."""
        if self.is_published and self._link.number() != self._number:
            reason = "was removed or replaced while in use: start the projection again"
            raise StorageError(str(self._link.path), reason)

    def begin(self, live: LiveTree) -> LiveTree:
        """Return the same state in a generation of its own, which the link does not lead to."""
        if (spare := self._spare()) is None:
            return self._begin(live, None)
        try:
            return self._begin(live, spare)
        except _AlteredError:
            self._earlier[spare] = self._earlier[spare]._replace(files=None)
            return self._begin(live, None)

    def publish(self, live: LiveTree) -> None:
        """Let the link lead to the generation that was begun last, once it is durable."""
        live.tree.release()
        if self._fsync:
            sync(self._link.home)
        self._link.switch(self._last)
        before, self._number, self.is_published = self._number, self._last, True
        self._earlier[before] = _Earlier(now())
        if self._fsync:
            self._link.sync()

    def is_current(self) -> bool:
        """Return whether the link leads to the generation that was begun last."""
        return self._number == self._last

    def leave(self, live: LiveTree) -> None:
        """Note that the state before is an earlier generation now, and remove what is too old."""
        before = max(self._earlier)
        with suppress(OSError):
            (self._link.home / str(before) / SUPERSEDED).touch()
        found = None
        with suppress(OSError, StorageError):
            found = own_files(live.tree, live.manifest.files)
        live.tree.close()
        if found is not None:
            since = self._earlier[before].since
            self._earlier[before] = _Earlier(since, live.manifest.files, found[0])
        self.expire()

    def drop(self, live: LiveTree) -> None:
        """Remove the generation that was begun last, and was not published."""
        live.tree.close()
        self._remove_whole(self._last)

    def expire(self) -> None:
        """Remove earlier generations whose grace period is over, but for one that is a spare."""
        spare = self._spare()
        over = [number for number, one in self._earlier.items() if self._is_over(one)]
        self._remove_some([number for number in over if number != spare][:REMOVED_AT_ONCE])

    def erase(self) -> None:
        """Remove all earlier generations: they hold what was redacted."""
        self._remove_some(list(self._earlier))

    def distrust(self) -> None:
        """Make no earlier generation the next one: files that they share may be damaged."""
        self._earlier = {number: one._replace(files=None) for number, one in self._earlier.items()}

    def close(self) -> None:
        """Give the generations up, and remove those whose grace period is over."""
        if self._home.is_owned:
            over = [number for number, one in self._earlier.items() if self._is_over(one)]
            self._remove_some(over)
        with suppress(OSError):
            self._home.remove(OWNER)
        self._home.close()

    def _tree(self, number: int) -> SafeTree:
        return SafeTree(self._link.home / str(number), fsync=self._fsync, read_only=True)

    def _begin(self, live: LiveTree, spare: int | None) -> LiveTree:
        """Make a generation from nothing, or from an earlier one that may be overwritten."""
        has: Mapping[str, Entry] = {}
        private: list[str] = []
        new = self._link.home / str(self._last + 1)
        if spare is None:
            new.mkdir()
        else:
            old = self._link.home / str(spare)
            has = self._earlier[spare].files or {}
            private = _private_names(old, self._earlier[spare].inodes or {})
            old.rename(new)
            del self._earlier[spare]
        self._last += 1
        try:
            tree = self._tree(self._last)
            try:
                tree.lock()
                for name in private:
                    tree.remove(name)
                return live.share(tree, has)
            except BaseException:
                tree.close()
                raise
        except BaseException:
            self._remove_whole(self._last)
            raise

    def _spare(self) -> int | None:
        """Return the earlier generation that may become the next one."""
        over = (
            number
            for number, one in self._earlier.items()
            if one.files is not None and self._is_over(one)
        )
        return max(over, default=None)

    def _is_over(self, one: _Earlier) -> bool:
        # A clock that was set back keeps none of them for longer.
        return not 0 <= now() - one.since < self._grace

    def _clear(self) -> None:
        """Find the earlier generations; remove what an update that was cut short has left."""
        for name, _ in self._home.entries():
            number = generation_number(name)
            path = self._link.home / name
            if path.is_symlink():
                path.unlink()
            elif number is not None and number > self._number > 0:
                self._remove_whole(number)
            elif number is not None and number != self._number:
                self._earlier[number] = _Earlier(self._since(number))

    def _since(self, number: int) -> float:
        mark = self._link.home / str(number) / SUPERSEDED
        with suppress(OSError):
            if not mark.exists():
                mark.touch()
            return mark.lstat().st_mtime
        return now()

    def _remove_whole(self, number: int) -> None:
        shutil.rmtree(self._link.home / str(number), ignore_errors=True)

    def _remove_some(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            if number not in self._left_alone:
                try:
                    self._remove(number)
                except (OSError, StorageError) as error:
                    self._left_alone.add(number)
                    log.warning("%s stays: %s", self._link.home / str(number), error)

    def _remove(self, number: int) -> None:
        """Remove a generation that was published, but for files that are not the projection's."""
        path = self._link.home / str(number)
        if path.exists():
            tree = SafeTree(path, fsync=False)
            try:
                _empty(tree, str(path))
            finally:
                tree.close()
            path.rmdir()
        del self._earlier[number]


def _private_names(generation: Path, inodes: Mapping[str, int]) -> list[str]:
    """Return the projection's own files; raise _AlteredError where it has not just these inodes.

    A file that another program has replaced has another one; what it writes into a file is found
    in the generation that is shown, which shares it.
    """
    try:
        tree = SafeTree(generation, fsync=False)
    except OSError as error:
        raise _AlteredError from error
    try:
        found = own_files(tree, inodes)
    finally:
        tree.close()
    if found is None or found[0] != inodes:
        raise _AlteredError
    return found[1]


def _empty(tree: SafeTree, where: str) -> None:
    """Remove the files of a generation; the manifest last, for it says which they are."""
    try:
        manifest, _ = published(tree, where)
    except ManifestError:
        manifest = None
    if manifest is None:
        raise StorageError(where, f"has no {MANIFEST} that says what is in it")
    for path in manifest.files:
        tree.remove(path)
    tree.prune(manifest.files)
    mine = [path for path, _ in tree.entries() if path.startswith(PRIVATE)]
    for path in sorted(mine, key=lambda path: path == MANIFEST):
        tree.remove(path)
