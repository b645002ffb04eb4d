"""A program that holds a file lock (``hold PATH``), or forks a child that must not (``fork``)."""

import os
import signal
import sys
from pathlib import Path

from eventstore.system.file_lock import FileLock


def hold(path: Path) -> None:
    """Hold the lock until killed."""
    FileLock(path).acquire()
    print("held", flush=True)
    signal.pause()


def fork(path: Path) -> None:
    """Show that the lock of a parent that closed it is free while its child still lives."""
    lock = FileLock(path)
    lock.acquire()
    ready, done = os.pipe(), os.pipe()
    if os.fork() == 0:
        os.write(ready[1], b"!")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    lock.close()
    FileLock(path).acquire(timeout=0)
    print("free while the child lives", flush=True)
    os.write(done[1], b"!")
    os.wait()


if __name__ == "__main__":
    {"hold": hold, "fork": fork}[sys.argv[1]](Path(sys.argv[2]))
