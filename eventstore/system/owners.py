"""Which process, and which event loop, an open object belongs to: checked before each use.

Futures, locks and events of an event loop wake only its own tasks, so an object that is used in
another loop or thread would wait without an end. A forked child has its parent's descriptors but
none of its threads: what it closes, unlocks or sends is done to the parent.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import warnings
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, NoReturn, cast

from anyio.lowlevel import current_token

from eventstore.errors import ForkedError, WrongLoopError
from eventstore.system import fork_hooks

if TYPE_CHECKING:
    from collections.abc import Callable


class ProcessGuard:
    """Refuses an object in a forked child of the process that opened it.

    ``what`` names the object in messages.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._forks = fork_hooks.count()

    @property
    def forked(self) -> bool:
        """Whether this process was forked since the object was opened."""
        return self._forks != fork_hooks.count()

    def check(self) -> None:
        """Raise ForkedError in a forked child."""
        if self._forks != fork_hooks.count():
            raise ForkedError(self._what)


class _Elsewhere:
    """Stands for an event loop that does not say in which thread it runs."""

    _thread_id: int | None = None


_ELSEWHERE: Final = _Elsewhere()


class LoopGuard(ProcessGuard):
    """Refuses an object outside the event loop that opened it, and in a forked child.

    Until :meth:`bind` was called the object may be used anywhere.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.loop: object = None
        """The event loop that it belongs to."""
        self.home: _Elsewhere = _ELSEWHERE
        """Where :meth:`check` finds nothing wrong, ``_thread_id`` of this is the calling thread's;
        elsewhere it is another's or None. A comparison of the two is made at each event that is
        given out, and ``asyncio.get_running_loop()`` asks the system for the process at each call.
        """
        fork_hooks.track(self)

    @property
    def bound(self) -> bool:
        """Whether it belongs to an event loop."""
        return self.loop is not None

    def bind(self) -> None:
        """Make it belong to the event loop that runs now, and to this process."""
        self._forks = fork_hooks.count()
        self.loop = current_token().native_token
        if isinstance(self.loop, asyncio.BaseEventLoop):
            # Set while the loop runs. Its type is not declared.
            self.home = cast("_Elsewhere", self.loop)

    def check_process(self) -> None:
        """Raise ForkedError in a forked child."""
        super().check()

    def after_fork(self) -> None:
        """Notice that the loop of this thread is the parent's."""
        self.home = _ELSEWHERE

    def bind_process(self) -> None:
        """Make it belong to this process, whose threads may all use it."""
        self._forks = fork_hooks.count()

    def release(self) -> None:
        """Let it be used anywhere again: it is closed."""
        self.loop, self.home = None, _ELSEWHERE

    def check(self) -> None:
        """Raise ForkedError in a forked child, WrongLoopError in another event loop or in none."""
        if self.home._thread_id == threading.get_ident():  # noqa: SLF001
            return
        if self._forks != fork_hooks.count():
            raise ForkedError(self._what)
        if self.loop is not None and not self._here():
            raise WrongLoopError(self._what)

    def _here(self) -> bool:
        """Return whether the event loop that runs is this one."""
        if isinstance(self.loop, asyncio.AbstractEventLoop):
            return asyncio._get_running_loop() is self.loop  # noqa: SLF001 - documented all the same
        try:
            return bool(sys.modules["trio"].lowlevel.current_trio_token() is self.loop)
        except RuntimeError:
            return False


class Unpicklable:
    """Base of what holds connections, threads or locks: neither copied nor pickled."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Raise TypeError that says what to hand over instead."""
        raise TypeError(
            f"a {type(self).__name__} cannot be copied, pickled or sent to another process: send "
            "its URL or path, and open it there"
        )


def keep_for_ever(connection: object) -> None:
    """Never collect a connection, and so never close it, not even at the end of the process.

    For one whose closing would harm another: SQLite removes the write-ahead log that is at the path
    when the last connection closes, which may be another file's by then; in a forked child the
    session is the parent's.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


def close_beside(*steps: Callable[[], object]) -> None:
    """Call each step, in a thread: an object is collected in any thread, one of its own too."""

    def close() -> None:
        with ExitStack() as left:
            for step in reversed(steps):
                left.callback(step)

    with suppress(RuntimeError):  # At the end of the process no thread can be started.
        threading.Thread(target=close, name="eventstore-close", daemon=True).start()


def warn_unclosed(thing: object, what: str, advice: str) -> None:
    """Warn (ResourceWarning) of an object that was collected without being closed."""
    warnings.warn(f"{what} was never closed: {advice}", ResourceWarning, 2, source=thing)
