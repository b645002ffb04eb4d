"""Snapshots on SQLite: a copy of the database's file, which holds the log and the tables.

Before the copy stands one line of JSON, with its size and SHA-256.
"""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Final

import msgspec

from eventstore.archive.progress import no_progress
from eventstore.errors import ArchiveError, StorageError
from eventstore.storage.sqlite.user_transaction import refuse_nested
from eventstore.system.safe_files import permissions, writing

if TYPE_CHECKING:
    from eventstore.storage.movable import MovableSqlBackend

FORMAT: Final = "ruletide-sql-snapshot-1"
MAX_HEADER_BYTES: Final = 1024
_CHUNK: Final = 1024 * 1024


class SnapshotHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a snapshot."""

    format: str
    position: int
    bytes: int
    sha256: str


def export_snapshot(backend: MovableSqlBackend, target: Path) -> int:
    """Copy the log and the tables as of one moment; return their position."""
    with TemporaryDirectory(dir=target.absolute().parent, prefix=".snapshot-") as directory:
        copy = Path(directory) / "copy.db"
        position = backend.backup(copy, no_progress, replace=False)
        header = SnapshotHeader(FORMAT, position, copy.stat().st_size, _digest(copy))
        with writing(target, mode=permissions(backend.path)) as file:
            file.write(msgspec.json.encode(header) + b"\n")
            with copy.open("rb") as source:
                shutil.copyfileobj(source, file, _CHUNK)
    return position


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def import_snapshot(backend: MovableSqlBackend, source: Path) -> int:
    """Replace the log and the tables by those of a snapshot, in one transaction.

    Returns their position. Raises ArchiveError, and changes nothing, for a file whose size or
    checksum differs.
    """
    if backend.path is None:
        raise StorageError(backend.url, "it is no file")
    refuse_nested(backend.path)
    with TemporaryDirectory(dir=backend.path.parent, prefix=".snapshot-") as directory:
        copy = Path(directory) / "copy.db"
        try:
            with source.open("rb") as file:
                _unpack(file, copy, str(source))
        except OSError as error:
            raise StorageError(str(source), str(error)) from error
        return backend.restore(copy, no_progress, replace=True)


def _unpack(file: IO[bytes], copy: Path, where: str) -> None:
    line = file.readline(MAX_HEADER_BYTES)
    try:
        header = msgspec.json.decode(line, type=SnapshotHeader)
    except msgspec.DecodeError as error:
        raise ArchiveError(where, 0, f"it is no snapshot: {error}") from error
    if header.format != FORMAT or not line.endswith(b"\n"):
        raise ArchiveError(where, 0, f"it is no snapshot that begins with {FORMAT}")
    digest, size = sha256(), 0
    with copy.open("wb") as target:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
    if (size, digest.hexdigest()) != (header.bytes, header.sha256):
        raise ArchiveError(where, len(line), "its content is not what its checksum says")
