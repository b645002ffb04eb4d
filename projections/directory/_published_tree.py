"""The published state of a projected directory: on disk, in its manifest and in memory."""

from __future__ import annotations

import copy
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from projections.directory._publisher import Publisher
from projections.directory._tree_writer import (
    Seen,
    announce,
    clear_leftovers,
    drop_kept,
    obstacle,
    strangers,
    update,
)
from projections.directory.commit_journal import JOURNAL
from projections.directory.file_changes import RejectedError
from projections.directory.manifest import FORMAT, INTENT, Manifest, SetAside
from projections.directory.path_claims import PRIVATE, Claims, Entry, kept_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.log.events import Cursor
    from projections.directory._safe_tree import SafeTree
    from projections.directory.content import Companion, CompanionFormat


class Place(NamedTuple):
    """Where the effect of an event is: whose file, its path and SHA-256 (hex)."""

    key: str
    path: str
    sha256: str


class LiveTree:
    """A directory that is owned, and moves from one published state to the next.

    ``claims`` is what the published manifest was made from. Where there is a ``companion``, it is
    published with each manifest, in the file that ``format_`` names.
    """

    def __init__(
        self,
        tree: SafeTree,
        manifest: Manifest,
        companion: Companion | None = None,
        format_: CompanionFormat | None = None,
        *,
        journal: bool = False,
    ) -> None:
        self._publisher = Publisher(tree, manifest, companion, format_, journal=journal)
        self._tree = tree
        reasons = {record.position: record.reason for record in manifest.set_aside}
        self._obstructed = {
            path: reasons.pop(entry.position, "obstructed")
            for path, entry in manifest.obstructed.items()
        }
        for waiting in manifest.waiting.values():
            reasons.pop(waiting.position, None)
        self.claims = Claims(manifest.files | manifest.obstructed, manifest.waiting, reasons)
        self._seen = Seen()
        self._interrupted = True

    @property
    def tree(self) -> SafeTree:
        """The directory itself."""
        return self._tree

    @property
    def manifest(self) -> Manifest:
        """The manifest that is published."""
        return self._publisher.manifest

    @property
    def companion(self) -> Companion | None:
        """The companion that is published; None without one."""
        return self._publisher.companion

    @property
    def has_journal(self) -> bool:
        """Whether manifest and companion on disk are continued by a journal."""
        return self._publisher.has_journal

    def share(self, tree: SafeTree, has: Mapping[str, Entry]) -> LiveTree:
        """Publish the same in another tree, and return that; no file is copied where that can be.

        ``has`` are the files that are in that tree already, and all that are.
        """
        ours = self.manifest.files
        other = [
            path
            for path, entry in has.items()
            if (new := ours.get(path)) is not entry and not _is_same(new, entry)
        ]
        for path in other:
            tree.remove(path)
        tree.prune(other)
        for path, entry in ours.items():
            if (old := has.get(path)) is not entry and not _is_same(old, entry):
                tree.share(self._tree, path)
        for name in {*self._publisher.files, *self._kept, INTENT} - {JOURNAL}:
            tree.share(self._tree, name)
        if (journal := self._publisher.files.get(JOURNAL)) is not None:
            # It grows in place: a second name would let it grow in both trees.
            staged = tree.stage(journal, private=True, synced=False)
            tree.place(staged, JOURNAL, ours=True)
        twin = copy.copy(self)
        twin._tree = tree  # noqa: SLF001 - of the same class
        twin._publisher = self._publisher.on(tree)  # noqa: SLF001
        return twin

    def compact(self) -> None:
        """Write manifest and companion whole, if a journal continues them.

        Does nothing after an update that was cut short: what it has left is still announced.
        """
        if self.has_journal and not self._interrupted:
            self._seen.forget(self._publisher.compact())

    def bring(
        self,
        claims: Claims,
        contents: Mapping[str, bytes],
        cursor: Cursor,
        companion: Companion | None,
        *,
        stop: bool,
        whole: bool = False,
    ) -> None:
        """Make the files in ``claims.touched`` what ``claims`` says, and publish ``cursor``.

        ``contents`` are by key; without ``companion`` its file stays as it is. With ``whole``,
        nothing of what was published before is left in a file of the projection. With ``stop``,
        raises RejectedError where a file that is not ours is in the way (its ``commit`` is the
        position); otherwise that is recorded.
        """
        ours = self.manifest.files
        if self._interrupted:
            clear_leftovers(self._tree, ours, self._kept)
        self._interrupted = True
        if self._publisher.adds_any(claims.touched):
            # Once changed, an earlier version could not tell it from another program's file.
            self._seen.forget(self._publisher.compact())
        writes, obstructed = self._writes(claims, contents)
        if stop:
            self._refuse(claims, self._obstacles(writes))
        removes = [
            path
            for path in claims.touched
            if path in ours and (path not in claims.files or path in obstructed)
        ]
        fresh = announce(self._tree, ours, writes, self._publisher.announced)
        found = update(self._tree, self._seen, fresh, writes, removes)
        obstructed |= {path: why for path, why in found.items() if path in claims.files}
        if stop:
            self._refuse(claims, obstructed)
        for path, reason in self._obstructed.items():
            if path in claims.files and path not in claims.touched:
                obstructed[path] = reason
        before = self._kept
        manifest = self._manifest(claims, obstructed, cursor)
        written = self._publisher.publish(manifest, companion, claims.touched, fresh, whole=whole)
        # The next check for damage reads and hashes them: here each change would pay for it.
        self._seen.forget(written)
        self._obstructed, self.claims = obstructed, claims
        drop_kept(self._tree, self._kept, before)
        self._interrupted = False

    def changes_files(self, claims: Claims) -> bool:
        """Return whether ``claims`` means other files than those that are published."""
        ours = self.manifest.files
        for path in claims.touched:
            entry, before = claims.files.get(path), ours.get(path)
            if entry is None or before is None:
                if entry is not before:
                    return True
            elif not _is_same(before, entry):
                return True
        return False

    def damaged(self) -> list[int]:
        """Return the positions whose file is not as it should be; restore what was published."""
        for name, published in self._publisher.files.items():
            if not self._holds(name, sha256(published).hexdigest(), len(published)):
                self._tree.write_private(name, published)
        files = self.manifest.files
        lost = [
            entry.position
            for path, entry in files.items()
            if not self._holds(path, entry.sha256, entry.size)
        ]
        lost += [
            waiting.position
            for waiting in self.manifest.waiting.values()
            if not self._holds(kept_name(waiting.sha256), waiting.sha256, waiting.size)
        ]
        lost += [
            entry.position
            for path, entry in self.manifest.obstructed.items()
            if obstacle(self._tree, files, path) is None
        ]
        return sorted(lost)

    def places(self) -> dict[int, Place]:
        """Return where the effect of each event is, by the event's position."""
        places = {
            entry.position: Place(entry.key, path, entry.sha256)
            for path, entry in self.claims.files.items()
        }
        for key, waiting in self.claims.waiting.items():
            places[waiting.position] = Place(key, waiting.path, waiting.sha256)
        return places

    def strangers(self) -> list[str]:
        """Return what no manifest entry lists; a directory without files ends in ``/``."""
        return strangers(self._tree, self.manifest.files)

    @property
    def _kept(self) -> set[str]:
        return {kept_name(waiting.sha256) for waiting in self.manifest.waiting.values()}

    def _holds(self, path: str, digest: str, size: int) -> bool:
        return self._seen.holds(self._tree, path, digest, size)

    def _writes(
        self, claims: Claims, contents: Mapping[str, bytes]
    ) -> tuple[dict[str, bytes], dict[str, str]]:
        """Return what has to be written, and which files have lost their content."""
        writes, lost = {}, {}
        for path in claims.touched:
            entry = claims.files.get(path)
            if entry is None:
                continue
            if self._holds(path, entry.sha256, entry.size):
                self._tree.touch(path)  # Its directory may not have been synced.
            elif (content := self._content(entry, contents)) is not None:
                writes[path] = content
            else:
                lost[path] = f"the content of {path!r} was lost; mending brings it back"
        for key, waiting in claims.waiting.items():
            name = kept_name(waiting.sha256)
            if key in contents and not self._holds(name, waiting.sha256, waiting.size):
                writes[name] = contents[key]
        return writes, lost

    def _content(self, entry: Entry, contents: Mapping[str, bytes]) -> bytes | None:
        """Return a file's content: from the events, or kept while it waited for its path."""
        if entry.key in contents:
            return contents[entry.key]
        kept = self._tree.read(kept_name(entry.sha256))
        return kept if kept is not None and sha256(kept).hexdigest() == entry.sha256 else None

    def _obstacles(self, writes: Mapping[str, bytes]) -> dict[str, str]:
        found = {}
        for path in writes:
            if path not in self.manifest.files and not path.startswith(PRIVATE):
                reason = obstacle(self._tree, self.manifest.files, path)
                if reason is not None:
                    found[path] = f"{path!r} cannot be written: {reason}"
        return found

    def _refuse(self, claims: Claims, obstructed: Mapping[str, str]) -> None:
        if obstructed:
            path = min(obstructed, key=lambda path: claims.files[path].position)
            position = claims.files[path].position
            raise RejectedError(position, position, obstructed[path])

    def _manifest(self, claims: Claims, obstructed: Mapping[str, str], cursor: Cursor) -> Manifest:
        files = claims.files
        blocked = {path: files[path] for path in obstructed}
        if blocked:
            files = {path: entry for path, entry in files.items() if path not in blocked}
        return Manifest(
            FORMAT,
            self.manifest.projection,
            cursor.log_id,
            cursor.position,
            cursor.hash.hex(),
            files,
            _set_aside(claims, obstructed),
            claims.waiting,
            blocked,
        )


def _is_same(one: Entry | None, other: Entry) -> bool:
    return one is not None and one.sha256 == other.sha256


def _set_aside(claims: Claims, obstructed: Mapping[str, str]) -> list[SetAside]:
    reasons = dict(claims.rejected)
    for key, waiting in claims.waiting.items():
        reasons[waiting.position] = claims.why(key)
    for path, reason in obstructed.items():
        reasons[claims.files[path].position] = reason
    return [SetAside(position, reasons[position]) for position in sorted(reasons)]
