"""Snapshots: the log and the tables in one file, as of one moment, with a checksum.

On SQLite that is a copy of the database's file behind one line of JSON, which has the copy's size
and SHA-256. On PostgreSQL it is an export of the log (:mod:`eventstore.archive.transfer`), which
has checksums of its own; the tables are computed from it.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Final

import msgspec

from eventstore.archive.transfer import export_to, no_progress, read_records
from eventstore.errors import ArchiveError, StorageError
from eventstore.storage import bulk as transfer
from eventstore.storage.user_transaction import refuse_nested
from eventstore.system.safe_files import permissions, writing

if TYPE_CHECKING:
    from eventstore.storage.base import SqlBackend
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql.database import Side

FORMAT: Final = "ruletide-sql-snapshot-1"
MAX_HEADER: Final = 1024
_CHUNK: Final = 1024 * 1024


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a snapshot of a SQLite file."""

    format: str
    position: int
    bytes: int
    sha256: str


def export_file(backend: SqlBackend, target: Path) -> int:
    """Copy a SQLite log and its tables as of one moment; return the position they are at."""
    with TemporaryDirectory(dir=target.absolute().parent, prefix=".snapshot-") as directory:
        copy = Path(directory) / "copy.db"
        position = backend.backup(copy, no_progress)
        header = Header(FORMAT, position, copy.stat().st_size, _digest(copy))
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


def import_into_file(backend: SqlBackend, source: Path) -> int:
    """Put a snapshot in the place of a SQLite log and its tables, in one transaction.

    Raises ArchiveError, and changes nothing, for what is not exactly what was exported.
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
    line = file.readline(MAX_HEADER)
    try:
        header = msgspec.json.decode(line, type=Header)
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


def export_log(backend: SqlBackend, target: Path) -> int:
    """Export the log as of one moment; return the position that it is at."""
    return export_to(backend, target, no_progress, replace=True).position


def import_log(backend: SqlBackend, side: Side, source: Path) -> int:
    """Fill an empty log, and compute the tables from it, in one transaction.

    Raises ArchiveError for what is not exactly what was exported, NotEmptyError where the log
    holds something.
    """
    with closing(side.make_guest()) as guest, guest.translated():
        guest.begin()
        try:
            side.lock(guest)
            position = _load(backend, side, guest, source)
            guest.commit()
        except BaseException:
            guest.rollback()
            raise
    return position


def _load(backend: SqlBackend, side: Side, guest: UserTransaction, source: Path) -> int:
    try:
        with source.open("rb") as file, guest.reading() as driver:
            records = read_records(file, str(source), no_progress)
            transfer.load(driver, records, backend.url)
            driver.flush()
    except OSError as error:
        raise StorageError(str(source), str(error)) from error
    return side.recompute(guest)
