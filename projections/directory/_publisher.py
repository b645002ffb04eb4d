"""Publishing what a directory holds: manifest and companion whole, or as a line of the journal.

Versions that know no journal read the two files alone, so these are at most WHOLE_SECONDS older:
see docs/decisions/0060-commit-journal.md.
"""

from __future__ import annotations

import copy
import stat
import time
from typing import TYPE_CHECKING, Final

import msgspec

from projections.directory.commit_journal import JOURNAL, first_line, next_line
from projections.directory.content import JournalFormat, Line
from projections.directory.manifest import INTENT, MANIFEST, encode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from projections.directory._safe_tree import SafeTree
    from projections.directory.content import Companion, CompanionFormat
    from projections.directory.manifest import Manifest

WHOLE_SECONDS: Final = 1.0
"""How long after a journal's first line the two files are written whole, with the next commit."""

JOURNAL_BYTES: Final = 256 * 1024
"""How large a journal grows."""

SMALL_BYTES: Final = 64 * 1024
"""Smaller files are written whole each time, which takes no longer."""

LINE_FILES: Final = 256
"""The most files in a line."""


class Publisher:
    """What is published in a directory, and how the next state of it is.

    ``files`` are the projection's own files as they have to be on disk, ``announced`` the digests
    of the files that the journal has and the manifest lacks.
    """

    def __init__(
        self,
        tree: SafeTree,
        manifest: Manifest,
        companion: Companion | None,
        format_: CompanionFormat | None,
        *,
        journal: bool,
    ) -> None:
        self.manifest = manifest
        self.companion = companion
        self.files: dict[str, bytes] = {}
        self.announced: dict[str, str] = {}
        self._tree = tree
        self._format = format_
        self._journalled = journal
        self._appendable = False
        self._whole_at = 0.0
        self._added: set[str] = set()

    def on(self, tree: SafeTree) -> Publisher:
        """Return the same state for another tree in which the same is published."""
        twin = copy.copy(self)
        twin._tree = tree  # noqa: SLF001 - of the same class
        twin.files, twin.announced = self.files.copy(), self.announced.copy()
        twin._added = self._added.copy()  # noqa: SLF001
        return twin

    @property
    def has_journal(self) -> bool:
        """Whether the manifest and the companion on disk are older than what is published."""
        return JOURNAL in self.files

    def adds_any(self, paths: Collection[str]) -> bool:
        """Return whether the manifest on disk lacks one of these paths, and the journal has it."""
        return not self._added.isdisjoint(paths)

    def publish(
        self,
        manifest: Manifest,
        companion: Companion | None,
        touched: Collection[str],
        fresh: Mapping[str, str],
        *,
        whole: bool,
    ) -> list[str]:
        """Publish the next state; return the names of the projection's files that were written.

        ``touched`` are the paths that may differ, ``fresh`` the digests of those that were
        announced for it. Without ``companion`` its file stays as it is.
        """
        line = None if whole else self._line(manifest, companion, touched)
        added = [path for path in touched if path not in self.manifest.files]
        if line is not None and self._append(line):
            self._added.update(added)
            self.announced.update(fresh)
            self.manifest, self.companion = manifest, companion
            return [JOURNAL]
        self._write(manifest, companion)
        return [*self.files]

    def compact(self) -> list[str]:
        """Write both files whole, without the journal; return the names of what was written."""
        self._write(self.manifest, self.companion)
        return [*self.files]

    def _write(self, manifest: Manifest, companion: Companion | None) -> None:
        self._appendable = False
        files = {}
        if companion is not None and self._format is not None:
            # The companion first: if only it gets there, the next opening knows by its cursor.
            files[self._format.name] = companion.encode()
        files[MANIFEST] = encode(manifest)
        for name, content in files.items():
            self._tree.write_private(name, content, synced=name == MANIFEST)
        self._tree.remove(JOURNAL)
        self._tree.remove(INTENT)
        self.files, self.announced, self._added = files, {}, set()
        self.manifest, self.companion = manifest, companion or self.companion
        small = sum(map(len, files.values())) < SMALL_BYTES
        # A line that nothing forces to the disk takes less than the smallest manifest.
        self._appendable = self._journalled and (self._tree.names_later or not small)

    def _line(
        self, manifest: Manifest, companion: Companion | None, touched: Collection[str]
    ) -> Line | None:
        """Return what leads to the next state; None where that has to be written whole.

        A line has new and changed files. A file that goes has to be gone from the manifest: an
        earlier version might take another program's for it.
        """
        if (
            not self._appendable
            or len(touched) > LINE_FILES
            or manifest.position <= self.manifest.position
            or not manifest.files.keys() >= set(touched)
            or _rest(manifest) != _rest(self.manifest)
            or (self.has_journal and time.monotonic() >= self._whole_at)
        ):
            return None
        files = {path: manifest.files[path] for path in touched}
        if companion is None or self.companion is None:
            same = companion is self.companion
            return Line(manifest.position, manifest.hash, files) if same else None
        if not isinstance(self._format, JournalFormat):
            return None
        delta = self._format.delta(self.companion, companion)
        if delta is None:
            return None
        return Line(manifest.position, manifest.hash, files, msgspec.Raw(delta))

    def _append(self, line: Line) -> bool:
        """Add a line to the journal; return False where both files have to be written."""
        self._appendable = False  # If this fails, the next state is written whole.
        journal = self.files.get(JOURNAL)
        if journal is None:
            status = self._tree.lstat(JOURNAL)
            if status is not None and stat.S_ISDIR(status.st_mode):
                return False
            start = first_line(self.files[MANIFEST], self._checksum())
            journal = start + next_line(start, line)
            if len(journal) > JOURNAL_BYTES:
                return False
            self._tree.write_private(JOURNAL, journal, synced=not self._tree.names_later)
            self._whole_at = time.monotonic() + WHOLE_SECONDS
        else:
            added = next_line(journal, line)
            size = len(journal)
            if size + len(added) > JOURNAL_BYTES or not self._tree.append(
                JOURNAL, added, size=size
            ):
                return False
            journal += added
        self.files[JOURNAL] = journal
        self._appendable = True
        return True

    def _checksum(self) -> str:
        if not isinstance(self._format, JournalFormat) or self._format.name not in self.files:
            return ""
        return self._format.checksum(self.files[self._format.name])


def _rest(manifest: Manifest) -> tuple[object, ...]:
    return manifest.set_aside, manifest.waiting, manifest.obstructed
