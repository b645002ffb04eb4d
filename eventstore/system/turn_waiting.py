"""Waiting in threads that take turns.

A coroutine that waits by :class:`TurnWaiting` only never suspends: where it has to wait, it blocks
its thread. :meth:`TurnWaiting.run` therefore drives it to its end. Of the threads that run
coroutines of one store one has the turn at a time, and gives it up while it waits, as a task gives
up its event loop. What coroutines share is safe for that reason.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.limits import QUERY_THREADS
from eventstore.system import fork_hooks

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from eventstore.system.owners import LoopGuard
    from eventstore.system.waiting import Call, WaitEvent, Worker

T = TypeVar("T")
W = TypeVar("W")


class _TurnEvent:
    """An event for which a thread waits without its turn."""

    def __init__(self, waiting: TurnWaiting) -> None:
        self._waiting = waiting
        self._event = threading.Event()
        self.set = self._event.set

    async def wait(self, seconds: float | None = None) -> bool:
        """Return True once it is set, False after so many seconds."""
        if self._event.is_set():
            return True
        with self._waiting.released():
            return self._event.wait(seconds)


class _TurnLock:
    """A lock for which a thread waits without its turn."""

    def __init__(self, waiting: TurnWaiting) -> None:
        self._waiting = waiting
        self._lock = threading.Lock()

    async def __aenter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            with self._waiting.released():
                self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class TurnWaiting:
    """Waits by blocking the calling thread, which gives up its turn meanwhile."""

    in_loop = False

    def __init__(self) -> None:
        self._turn = threading.RLock()
        fork_hooks.track(self)

    def after_fork(self) -> None:
        """Begin anew in a forked child, where the thread that had the turn may be missing."""
        self._turn = threading.RLock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that waits by this object only; return its result."""
        with self._turn:
            try:
                coroutine.send(None)
            except StopIteration as done:
                result: T = done.value
                return result
        coroutine.close()
        raise RuntimeError(f"{coroutine} waits for an event loop, and none is here")

    @contextmanager
    def released(self) -> Iterator[None]:
        """Give up the turn for the block, in which nothing shared is touched."""
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()

    def start(self) -> None:
        """Limit how many callers' threads query at once."""
        self._queries = threading.Semaphore(QUERY_THREADS)

    async def bind(self, guard: LoopGuard) -> None:
        """Let an object belong to this process, whose threads may all use it."""
        guard.check()
        guard.bind_process()

    async def run_to_end(
        self,
        function: Callable[[], T],
        undo: Callable[[], object] | None,  # noqa: ARG002 - a thread is not cancelled
        name: str,  # noqa: ARG002 - it runs in the calling thread
    ) -> T:
        """Return ``function()``."""
        return await self.in_thread(function)

    def caller(self) -> Call:
        """Return a function that takes the turn and runs a callable."""
        return self._call

    def _call(self, function: Callable[[], Any]) -> None:
        with self._turn:
            function()

    def event(self) -> WaitEvent:
        """Return a new event."""
        return _TurnEvent(self)

    def setter(self, event: WaitEvent) -> Callable[[], None]:
        """Return what sets ``event``."""
        return event.set

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a new lock."""
        return _TurnLock(self)

    async def wait(self, event: WaitEvent, seconds: float) -> bool:
        """Return True once ``event`` is set, False after so many seconds."""
        assert isinstance(event, _TurnEvent)  # noqa: S101 - there are no others here
        return await event.wait(seconds)

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await _TurnEvent(self).wait(seconds)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)`` from the calling thread."""
        with self.released():
            return function(*args)

    async def in_query_thread(self, function: Callable[[], T], seconds: float) -> T:
        """Return ``function()`` from the calling thread, once few others query."""
        with self.released():
            if not self._queries.acquire(timeout=seconds):
                raise TimeoutError
            try:
                return function()
            finally:
                self._queries.release()

    async def outcome(self, worker: Worker[W], work: W) -> Any:
        """Perform the work in the calling thread, or wait for the thread that does."""
        with self.released():
            return worker.perform(work)

    def cancelled(self) -> bool:
        """Return False: a thread is not cancelled."""
        return False

    def shield(self) -> AbstractContextManager[object]:
        """Return a context without an effect: a thread is not cancelled."""
        return nullcontext()

    def cancellable(self, work: Callable[[Any], T]) -> Callable[[Any], T]:
        """Return the work: a thread is not cancelled."""
        return work
