"""A program that holds a file lock (``hold PATH``), or forks a child that must not.

``fork PATH`` forks while it holds the lock, ``fork-waiting PATH`` while a thread waits for it.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path

from eventstore.system.file_lock import FileLock, LockTimeoutError

TAKEN = 7
"""Exit status of a child that got the lock in the end."""


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


def fork_waiting(path: Path) -> None:
    """Show that a wait goes on in the parent, and that the child has no part in it."""
    holder, waiting = FileLock(path), FileLock(path)
    holder.acquire()
    thread = threading.Thread(target=waiting.acquire, args=[60])
    thread.start()
    while waiting._wait is None or not waiting._wait.pending:
        time.sleep(0.001)
    tried, done = os.pipe(), os.pipe()
    if os.fork() == 0:
        try:
            FileLock(path).acquire(timeout=0.01)
        except LockTimeoutError:
            os.write(tried[1], b"!")
        os.read(done[0], 1)
        FileLock(path).acquire(timeout=60)
        os._exit(TAKEN)
    os.close(tried[1])
    refused = os.read(tried[0], 1) == b"!"
    holder.release()
    thread.join(60)
    held = not holder.try_acquire()
    waiting.close()
    holder.acquire(timeout=60)  # The child's wait, which it gave up, may get the lock for a moment.
    holder.close()
    os.write(done[1], b"!")
    taken = os.waitstatus_to_exitcode(os.wait()[1]) == TAKEN
    print(f"{refused=} {held=} {taken=}", flush=True)


if __name__ == "__main__":
    {"hold": hold, "fork": fork, "fork-waiting": fork_waiting}[sys.argv[1]](Path(sys.argv[2]))
