"""Waiting in the system's queue for file locks, in a thread, so that the wait can end early.

``flock`` without a limit is fair: the system wakes those that wait, while one that tries again
and again comes after all of them. But nothing ends such a call in a thread. So a thread of its
own makes it, and the caller waits for that thread for as long as it likes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.platform != "win32":
    import fcntl

CHECK_SECONDS: Final = 0.05
"""Time between two questions whether the wait is still wanted."""


class LockWait:
    """Waits for the locks of open files, one after the other, whose descriptors it copies.

    Each lock but the last is released once the next one is held. The thread takes them all without
    its caller: a step that began only once the caller has woken up would let others pass meanwhile.
    A lock that the caller holds already is passed at once. A wait that was given up goes on in the
    thread, which releases what it gets; the next :meth:`wait` takes it up again. One caller at a
    time.
    """

    def __init__(self, *descriptors: int) -> None:
        self._files = [os.dup(descriptor) for descriptor in descriptors]
        self._guard = threading.Lock()
        self._wanted = threading.Lock()
        self._wanted.acquire()
        self._granted = threading.Lock()
        self._granted.acquire()
        self._error: OSError | None = None
        self._waiting = self._given_up = self._closed = False
        thread = threading.Thread(target=self._run, name="eventstore-lock-wait", daemon=True)
        thread.start()

    @property
    def pending(self) -> bool:
        """Whether the thread still waits for a lock that its caller gave up."""
        with self._guard:
            return self._waiting

    def wait(self, deadline: float | None, check: Callable[[], None] | None) -> bool:
        """Wait until the last lock is held; return False once ``deadline`` (monotonic) has passed.

        What ``check`` raises ends the wait too. Raises OSError where a file cannot be locked.
        """
        with self._guard:
            self._given_up = False
            if not self._waiting:
                self._waiting = True
                self._wanted.release()
        try:
            held = self._wait(deadline, check)
        except BaseException:
            if self._take_late() and self._error is None:
                self._unlock()
            self._error = None
            raise
        held = held or self._take_late()
        error, self._error = self._error, None
        if error is not None:
            raise error
        return held

    def close(self) -> None:
        """End the thread once it waits for nothing; what it gets until then is released."""
        with self._guard:
            self._closed = self._given_up = True
            waiting = self._waiting
        if not waiting:
            self._wanted.release()

    def after_fork(self) -> None:
        """Close the child's copies of the files; the thread is the parent's."""
        for file in self._files:
            os.close(file)

    def _wait(self, deadline: float | None, check: Callable[[], None] | None) -> bool:
        while True:
            left = CHECK_SECONDS if deadline is None else deadline - time.monotonic()
            if self._granted.acquire(timeout=max(0.0, min(left, CHECK_SECONDS))):
                return True
            if left <= 0:
                return False
            if check is not None:
                check()

    def _take_late(self) -> bool:
        """Give the wait up; return True where the thread has ended it by now."""
        with self._guard:
            self._given_up = self._waiting
        return not self._given_up and self._granted.acquire()

    def _unlock(self) -> None:
        if sys.platform != "win32":
            fcntl.flock(self._files[-1], fcntl.LOCK_UN)

    def _run(self) -> None:
        self._wanted.acquire()
        while not self._closed:
            error = self._lock()
            with self._guard:
                self._waiting = False
                if self._given_up:
                    if error is None:
                        self._unlock()
                else:
                    self._error = error
                    self._granted.release()
            if not self._closed:
                self._wanted.acquire()
        for file in self._files:
            os.close(file)

    def _lock(self) -> OSError | None:
        before: int | None = None
        try:
            if sys.platform != "win32":
                for file in self._files:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX)
                    finally:
                        if before is not None:
                            fcntl.flock(before, fcntl.LOCK_UN)
                    before = file
        except OSError as error:
            return error
        return None
