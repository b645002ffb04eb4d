"""Who holds a file lock, as far as the system tells."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final, NamedTuple

COMMAND_CHARS: Final = 120
"""How much of a command line is shown."""


class Holder(NamedTuple):
    """The process that holds a lock; ``pid`` is 0, and texts are empty, for what is not known."""

    text: str = ""
    pid: int = 0
    host: str = ""
    command: str = ""
    stopped: bool = False


def find_holder(descriptor: int, note: str = "") -> Holder:
    """Return who locked an open file with ``flock``; ``note`` is what the holder wrote in it.

    Linux tells of its own processes, not of those of another host or another PID namespace.
    """
    pid = _holding_process(descriptor)
    if not pid:
        return Holder(note)
    command, stopped = _command(pid), _is_stopped(pid)
    shown = f" ({command})" if command else ""
    text = note or f"process {pid}{shown}"
    return Holder(
        text + (", which is stopped" if stopped else ""),
        pid,
        socket.gethostname(),
        command,
        stopped,
    )


def _holding_process(descriptor: int) -> int:
    """Return the process that holds the lock of an open file; 0 where that is not known."""
    return next(iter(lock_holders(os.fstat(descriptor), "FLOCK")), 0)


def lock_holders(status: os.stat_result, kind: str) -> list[int]:
    """Return the processes of this host that hold a lock of a kind on a file with this status.

    ``kind`` is ``"FLOCK"`` or ``"POSIX"`` (``fcntl``, which SQLite uses). Only Linux tells.
    """
    exact = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    found, similar = [], []
    try:
        lines = Path("/proc/locks").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    for line in lines:
        words = line.split()
        # "1: FLOCK ADVISORY WRITE 4711 fe:01:1234 0 EOF"; a waiter has an arrow after "1:".
        if len(words) < 6 or words[1] != kind or not words[4].isdigit():
            continue
        if words[5] == exact:
            found.append(int(words[4]))
        elif words[5].endswith(f":{status.st_ino}"):
            similar.append(int(words[4]))  # Some file systems give another device number here.
    return [pid for pid in (found or similar) if pid]


def _command(pid: int) -> str:
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    words = raw.rstrip(b"\0").decode("utf-8", "replace").split("\0")
    text = "".join(c if c.isprintable() else "?" for c in " ".join(words))
    return text if len(text) <= COMMAND_CHARS else text[: COMMAND_CHARS - 1] + "…"


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["T"]
