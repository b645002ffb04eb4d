"""The two forms of a projected directory: plain, or atomic behind a link; opened, and converted."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.errors import ConfigError, StorageError
from projections.directory._atomic_link import AtomicLink, lies_in_generations
from projections.directory._generations import Generations
from projections.directory._opening import check_owner, load_manifest, make_root
from projections.directory._safe_tree import READ_ONLY, SafeTree
from projections.directory._tree_writer import strangers
from projections.directory.manifest import ForeignDirectoryError, is_of, published

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(eq=False, slots=True)
class Form:
    """How a directory is kept. ``atomic`` asks for a form; None leaves the one that is there."""

    root: Path
    name: str
    _: KW_ONLY
    atomic: bool | None
    fsync: bool
    names_later: bool = False
    names: Mapping[str, str] | None
    grace_seconds: float

    def __post_init__(self) -> None:
        if self.atomic and self.names:
            raise ConfigError("atomic=True goes without private_names")
        if self.atomic and self.root.absolute().name in {"", "..", "."}:
            raise ConfigError(f"{self.root}: name the directory itself, to make it atomic")

    def open(self, log_id: str) -> tuple[SafeTree, Generations | None]:
        """Own the directory, made if it is missing, in the form that is asked for.

        Raises OSError, StorageError, ForeignDirectoryError, and what
        :func:`~projections.directory._opening.load_manifest` raises.
        """
        link = AtomicLink(self.root)
        is_atomic = link.number() is not None
        if self.atomic is False and is_atomic:
            _make_plain(link, self.name, fsync=self.fsync)
        elif self.atomic or (self.atomic is None and is_atomic):
            return self._open_generations(link, log_id)
        self.atomic = False
        return self._open_plain(), None

    def _open_plain(self) -> SafeTree:
        real = Path(os.path.realpath(self.root))
        if lies_in_generations(real):
            reason = f"leads to a generation of an atomic directory, {real}: name that directory"
            raise StorageError(str(self.root), reason)
        tree = SafeTree(
            make_root(self.root),
            fsync=self.fsync,
            names_later=self.names_later,
            names=self.names,
        )
        try:
            check_owner(tree, self.name)
            tree.take_over(lambda content: is_of(content, self.name))
        except BaseException:
            tree.close()
            raise
        return tree

    def _open_generations(self, link: AtomicLink, log_id: str) -> tuple[SafeTree, Generations]:
        generations = Generations(
            link, self.name, fsync=self.fsync, grace_seconds=self.grace_seconds
        )
        try:
            if link.number() is None:
                self._make_atomic(link, log_id)
            self.atomic = True  # Also once the link is gone.
            return generations.open(self.name), generations
        except BaseException:
            generations.close()
            raise

    def _make_atomic(self, link: AtomicLink, log_id: str) -> None:
        """Make way for the link: a plain directory of this projection becomes a generation."""
        if link.path.is_symlink():
            found = f"is a link to {str(link.path.readlink())!r}, which is no atomic directory"
            raise ForeignDirectoryError(str(self.root), found)
        if not link.path.exists():
            return
        tree = SafeTree(make_root(link.path), fsync=self.fsync)
        try:
            check_owner(tree, self.name)
            manifest, _ = load_manifest(tree, link.path, self.name, log_id)
            if others := strangers(tree, manifest.files):
                found = f"holds {others[0]!r} ({len(others)} in all), which an atomic one cannot"
                raise ForeignDirectoryError(str(self.root), found)
            if published(tree, str(link.path))[0] is None:
                with suppress(OSError):
                    link.path.rmdir()  # Nothing is in it.
                return
            for path in manifest.files:
                tree.set_mode(path, READ_ONLY)
            link.exchange(_free_number(link))
        finally:
            tree.close()


def _make_plain(link: AtomicLink, name: str, *, fsync: bool) -> None:
    """Put the generation that is published in the place of the link; remove the others."""
    generations = Generations(link, name, fsync=fsync, grace_seconds=0.0)
    try:
        number = link.number()
        tree = generations.open(name)
        try:
            if number is not None and generations.is_published:
                link.exchange(number)
            else:
                link.path.unlink(missing_ok=True)
        finally:
            tree.close()
        generations.erase()
    finally:
        generations.close()
    with suppress(OSError):
        link.home.rmdir()


def _free_number(link: AtomicLink) -> int:
    return (
        max((int(one.name) for one in link.home.iterdir() if one.name.isdecimal()), default=0) + 1
    )
