"""One event loop per process for stores that belong to no caller's task or event loop.

Callers come from any event loop, one after another, or from none. Their calls run here, in a
daemon thread. A store in this loop stays open when a caller is cancelled, and is closed with the
process.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio

from eventstore.errors import StoreClosedError
from eventstore.system.event_loop import loop_caller
from eventstore.system.fork_hooks import ForkLock, run_in_child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

log = logging.getLogger(__name__)
T = TypeVar("T")

CLOSING_SECONDS: Final = 10.0
"""Longest time that the end of the process waits for the stores to close."""


class BackgroundCall(Generic[T]):
    """A coroutine function that runs in the loop; made by :meth:`BackgroundLoop.start`."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._scope: anyio.CancelScope | None = None
        self._cancelled = False
        self._future: Future[T] = Future()

    async def run(self) -> None:
        """Run it in the background loop; :meth:`result` raises what it raises."""
        if self._cancelled:
            return
        with anyio.CancelScope() as self._scope:
            try:
                result = await self._function()
            except anyio.get_cancelled_exc_class():
                self._future.set_exception(StoreClosedError("the store closed meanwhile"))
                raise
            except Exception as error:
                self._future.set_exception(error)
            else:
                self._future.set_result(result)

    @property
    def done(self) -> bool:
        """Whether there is a result."""
        return self._future.done()

    def cancel(self) -> None:
        """Cancel it; called in the background loop."""
        self._cancelled = True
        if self._scope is not None:
            self._scope.cancel()

    async def wait(self) -> None:
        """Wait in the caller's own loop for the result; cancelling the wait cancels no call."""
        woken = anyio.Event()
        call = loop_caller()
        self._future.add_done_callback(lambda _: call(woken.set))
        await woken.wait()

    def result(self) -> T:
        """Return the result, or raise what the function raised; blocks until then."""
        return self._future.result()


class BackgroundLoop:
    """A daemon thread with an event loop that runs calls from any thread and any loop."""

    def __init__(self) -> None:
        self.closed = False
        # Reentrant, because an iterator may be collected, and cancel its call, at any time.
        self._lock = threading.RLock()
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=anyio.run, args=[self._main], name="eventstore-background", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        # A caller's own context could say that the running loop is trio's.
        self._context = copy_context()
        self._stop = anyio.Event()
        async with anyio.create_task_group() as self.tasks:
            self._ready.set()
            await self._stop.wait()
            self.tasks.cancel_scope.cancel()

    tasks: TaskGroup
    """For tasks that run in this loop; an exception in one of them would end the loop."""

    def is_current_thread(self) -> bool:
        """Whether the caller runs in the loop's own thread, which must not block."""
        return threading.current_thread() is self._thread

    def call_soon(self, function: Callable[[], Any]) -> None:
        """Run a callable in the loop; raise StoreClosedError once the loop is closed."""
        if _current is not self:
            raise StoreClosedError("it was closed, or opened before a fork: subscribe again")
        with self._lock:
            if self.closed:
                raise StoreClosedError("it was closed meanwhile: subscribe again")
            self._loop.call_soon_threadsafe(function, context=self._context)

    def start(self, function: Callable[[], Awaitable[T]]) -> BackgroundCall[T]:
        """Start a coroutine function."""
        call = BackgroundCall(function)
        self.call_soon(lambda: self.tasks.start_soon(call.run))
        return call

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function to its end; cancelling the caller cancels it as well."""
        call = self.start(function)
        try:
            await call.wait()
        except BaseException:
            self.cancel(call)
            raise
        return call.result()

    def cancel(self, call: BackgroundCall[Any]) -> None:
        """Cancel a call; does nothing once the loop is closed."""
        with suppress(StoreClosedError):
            self.call_soon(call.cancel)

    def close(self) -> None:
        """Cancel what runs, and end the thread."""
        with self._lock:
            # No call starts after this, so no caller waits for a call that never runs.
            self.call_soon(self._stop.set)
            self.closed = True
        self._thread.join(CLOSING_SECONDS)


_current: BackgroundLoop | None = None
_lock = ForkLock()
_kept: list[object] = []


def get_background_loop() -> BackgroundLoop:
    """Return this process's background loop, started at the first call."""
    global _current  # noqa: PLW0603 - there is one per process
    with _lock:
        if _current is None:
            _current = BackgroundLoop()
        return _current


def close_background_loop() -> None:
    """Close what runs in the background loop now rather than with the process.

    Subscriptions end with StoreClosedError; the next use of a store opens it again.
    """
    global _current  # noqa: PLW0603 - there is one per process
    with _lock:
        if _current is not None:
            _current.close()
        _current = None


def keep_unclosed(thing: object) -> None:
    """Keep a reference to what the parent process opened: collecting it would close its files."""
    _kept.append(thing)


@atexit.register
def _close_at_exit() -> None:
    try:
        close_background_loop()
    except Exception:
        # What was acknowledged is durable in any case.
        log.debug("closing the background loop failed", exc_info=True)


@run_in_child
def _drop_in_child() -> None:
    global _current  # noqa: PLW0603 - there is one per process
    keep_unclosed(_current)
    _current = None
