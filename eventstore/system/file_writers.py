"""Whether a program has a file open for writing."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

if sys.platform == "linux":
    import fcntl


def is_open_for_writing(path: Path) -> bool | None:
    """Return whether any program of this host can write to ``path``; None where it is not known.

    Linux grants a read lease on a file only while no program has it open for writing. It tells
    the file's owner (and root), on local file systems. The lease is returned at once; a program
    that opens the file within these microseconds waits for that.
    """
    if sys.platform != "linux":
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # Breaking a lease sends a signal to its holder. The usual one would end the process;
        # this one is ignored unless a program asks for it.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    finally:
        os.close(descriptor)
    return False
