"""The dot-file that says what a projected directory holds, and how to read one consistently."""

from __future__ import annotations

import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import EventStoreError, StorageError
from eventstore.log.events import Cursor
from projections.directory import commit_journal
from projections.directory._safe_tree import SafeTree, translate_errors
from projections.directory.file_changes import check_path
from projections.directory.path_claims import PRIVATE, Entry, Position, Waiting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.directory.commit_journal import Journal

MANIFEST: Final = f"{PRIVATE}.json"
INTENT: Final = f"{PRIVATE}-intent.json"
"""The file that announces new paths before the first of them is written."""
FORMAT: Final = 1
ADVICE: Final = (
    "move the directory away, or delete it, and project again: everything in it is in the log"
)


class ForeignDirectoryError(EventStoreError):
    """A directory holds things and does not belong to this projection; nothing was touched.

    ``root`` is the directory, ``found`` what there is, as far as it matters.
    """

    def __init__(self, root: str, found: str) -> None:
        super().__init__(
            f"{root} {found}: name an empty or a new directory, or move away what is there"
        )
        self.root, self.found = root, found


class ManifestError(StorageError):
    """The manifest of a projected directory cannot be used; the message says what to do."""


class UnsettledTreeError(StorageError):
    """A directory never agreed with its manifest while it was read; try again later."""


class SetAside(msgspec.Struct, frozen=True, gc=False):
    """An event whose effect is not in the directory, and why."""

    position: Position
    reason: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What the directory holds, as of which place in which log. ``hash`` is in hex.

    ``waiting`` are the files, by key, whose path another key has; ``obstructed`` those, by
    path, in whose place something stands that is not ours.
    """

    format: int
    projection: str
    log_id: str
    position: Position
    hash: str
    files: dict[str, Entry]
    set_aside: list[SetAside] = []
    waiting: dict[str, Waiting] = {}
    obstructed: dict[str, Entry] = {}

    @property
    def cursor(self) -> Cursor:
        """Where in the log the directory is."""
        return Cursor(self.log_id, self.position, bytes.fromhex(self.hash))


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_DECODER: Final = msgspec.json.Decoder(Manifest)


class _Version(msgspec.Struct):
    format: int


class _Owner(msgspec.Struct):
    projection: str


def is_of(raw: bytes, projection: str) -> bool:
    """Return whether a manifest, in any format, is that of a projection."""
    try:
        return msgspec.json.decode(raw, type=_Owner).projection == projection
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as JSON; equal manifests give equal bytes."""
    return _ENCODER.encode(manifest)


def decode(raw: bytes, where: str) -> Manifest:
    """Read a manifest, trusting nothing in it; raise ManifestError for what is none."""
    try:
        version = msgspec.json.decode(raw, type=_Version).format
        if version != FORMAT:
            reason = f"has format {version}, and this program knows {FORMAT}: upgrade it, or else "
            raise ManifestError(where, reason + ADVICE)
        manifest = _DECODER.decode(raw)
        bytes.fromhex(manifest.hash)
        for path in (*manifest.files, *manifest.obstructed):
            check_path(path)
        for claim in manifest.waiting.values():
            check_path(claim.path)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ManifestError(where, f"is damaged ({error}): {ADVICE}") from error
    return manifest


def published(tree: SafeTree, where: str) -> tuple[Manifest | None, Journal | None]:
    """Read what a directory says: its manifest, continued by its journal, and that journal.

    Raises ManifestError for a manifest that is damaged or of a newer version.
    """
    # The journal first: the manifest that it continues is then there, or a newer one.
    journal = commit_journal.decode(tree.read(commit_journal.JOURNAL))
    if (raw := tree.read(MANIFEST)) is None:
        return None, None
    manifest = decode(raw, where)
    lines = [] if journal is None else journal.lines_after(manifest=raw)
    if not lines or lines[0].position <= manifest.position:
        return manifest, journal
    files = manifest.files.copy()
    for line in lines:
        files |= line.files
    position, hash_ = lines[-1].position, lines[-1].hash
    return msgspec.structs.replace(manifest, position=position, hash=hash_, files=files), journal


def read_tree(
    root: str | Path, *, attempts: int = 100, pause: float = 0.02
) -> tuple[Cursor, dict[str, bytes]]:
    """Read a consistent set of files, and the cursor that they are of.

    It needs no lock and works beside a running projection: manifest and journal give the SHA-256
    of every file, and a set that does not match is read again, ``attempts`` times at most,
    ``pause`` seconds apart. Raises UnsettledTreeError where it never matched, ManifestError
    where the manifest is unusable, and StorageError where there is no projected directory.
    """
    where = str(Path(root) / MANIFEST)
    problem = "it was not looked at"
    for attempt in range(attempts):
        if attempt:
            time.sleep(pause)
        with translate_errors(str(root)):
            tree = SafeTree(Path(root))
            try:
                manifest, _ = published(tree, where)
                if manifest is None:
                    raise StorageError(str(root), f"has no {MANIFEST}, so nothing projects it")
                contents = _read_all(tree, manifest.files)
            finally:
                tree.close()
        if isinstance(contents, dict):
            return manifest.cursor, contents
        problem = contents
    raise UnsettledTreeError(
        str(root),
        f"{problem} (read {attempts} times): a projection is busy there, or none runs to mend it",
    )


def _read_all(tree: SafeTree, files: Mapping[str, Entry]) -> dict[str, bytes] | str:
    contents = {}
    for path, entry in files.items():
        content = tree.read(path)
        if content is None or sha256(content).hexdigest() != entry.sha256:
            return f"{path!r} is {'missing' if content is None else 'not what the manifest says'}"
        contents[path] = content
    return contents
