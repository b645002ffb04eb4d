"""Reading the replica file and its journal from a directory that is shared or copied."""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Final

from eventstore.errors import StorageError
from eventstore.system.safe_files import open_regular
from eventstore.system.stat_cache import FileStamp
from projections.directory import commit_journal
from projections.directory.commit_journal import JOURNAL
from projections.rules.replica_file import REPLICA_FORMAT, REPLICA_NAME, ReplicaFileError

if TYPE_CHECKING:
    from pathlib import Path

    from projections.directory.commit_journal import Journal
    from projections.rules.replica_file import ReplicaFile

MAX_BYTES: Final = 1024**3
"""The largest replica file that is read."""

MAX_JOURNAL_BYTES: Final = 16 * 1024**2
"""The largest journal that is read; this version writes smaller ones."""

_NO_JOURNAL: Final = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EISDIR,
    errno.EINVAL,
    errno.ENXIO,
}
"""What says that there is no such file, or that it is none of ours."""

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_file(path: Path, known: FileStamp | None) -> tuple[FileStamp | None, bytes | None]:
    """Return the file's stamp, and its content unless the stamp is ``known``.

    The stamp is None where the file is too young for it to prove anything. Raises StorageError
    where there is no such file, and ReplicaFileError for one that cannot be a replica file.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError as error:
        reason = f"has no {REPLICA_NAME}: it is no projected directory, or not copied yet"
        raise StorageError(str(path.parent), reason) from error
    except OSError as error:
        raise StorageError(str(path), error.strerror or repr(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise ReplicaFileError(str(path), f"is no file of at most {MAX_BYTES:,} bytes")
        stamp = FileStamp.of(status)
        if stamp == known:
            return stamp, None
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read()
    finally:
        os.close(descriptor)
    # A file that is being written in place may change again within one tick of the clock.
    return stamp if stamp.proves(time.time_ns()) else None, raw


class ReplicaReader:
    """Reads what a directory says, and refuses what is a copy in which the journal is behind."""

    def __init__(self, root: Path) -> None:
        self._path = root / REPLICA_NAME
        self._journal = root / JOURNAL
        self._stamp: FileStamp | None = None
        self._file: ReplicaFile | None = None
        self._checksum = ""
        self._known = ("", 0)

    def read(self) -> ReplicaFile:
        """Return the replica as of the last whole commit in the directory.

        Raises StorageError where there is none, and ReplicaFileError where it is not whole: where
        the file is not, or the journal that was read before is not there as far as it was read.
        """
        # The journal first: the file that it continues is then there, or a newer one.
        journal = self._read_journal()
        stamp, raw = read_file(self._path, self._stamp)
        if raw is not None:
            self._file = REPLICA_FORMAT.decode(raw, str(self._path))
            self._checksum, self._stamp = REPLICA_FORMAT.checksum(raw), stamp
        assert self._file is not None  # noqa: S101 - else there would be no stamp
        replica = self._file
        if journal is not None and journal.lines and journal.companion == self._checksum:
            replica = REPLICA_FORMAT.continued(replica, journal.lines)
        checksum, position = self._known
        if checksum == self._checksum and replica.position < position:
            reason = f"ends at position {replica.position}, and ended at {position}: being copied"
            raise ReplicaFileError(str(self._journal), reason)
        self._known = self._checksum, replica.position
        return replica

    def _read_journal(self) -> Journal | None:
        try:
            with open(open_regular(self._journal), "rb") as file:  # noqa: PTH123 - a descriptor
                is_ours = os.fstat(file.fileno()).st_size <= MAX_JOURNAL_BYTES
                return commit_journal.decode(file.read()) if is_ours else None
        except OSError as error:
            if error.errno in _NO_JOURNAL:
                return None
            raise StorageError(str(self._journal), error.strerror or repr(error)) from error
