"""Reading the replica file from a directory that is shared or copied."""

from __future__ import annotations

import os
import stat
import time
from typing import TYPE_CHECKING, Final

from eventstore.errors import StorageError
from eventstore.system.stat_cache import FileStamp
from projections.rules.replica_file import REPLICA_NAME, ReplicaFileError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 1024**3
"""The largest replica file that is read."""

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
