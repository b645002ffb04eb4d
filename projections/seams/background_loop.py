"""One event loop of this process's own, for what belongs to no caller's task or loop.

Callers come from any event loop, one after another, or from none. What they ask for runs
here, in a daemon thread; it goes on when they are cancelled and ends with the process.
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
from eventstore.system.fork_hooks import run_in_child

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

log = logging.getLogger(__name__)
T = TypeVar("T")

CLOSING_SECONDS: Final = 10.0
"""How long the end of the process waits for the stores to close."""


class Call(Generic[T]):
    """One coroutine function that runs in the background; made by :meth:`Background.start`."""

    def __init__(self, function: Callable[[], Awaitable[T]]) -> None:
        self._function = function
        self._scope: anyio.CancelScope | None = None
        self._withdrawn = False
        self._future: Future[T] = Future()

    async def run(self) -> None:
        """Run it in the background loop; whatever it raises is the caller's."""
        if self._withdrawn:
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
        """End it; called in the background loop."""
        self._withdrawn = True
        if self._scope is not None:
            self._scope.cancel()

    async def finished(self) -> None:
        """Return in the caller's own loop once there is a result; cancelling ends nothing."""
        woken = anyio.Event()
        call = loop_caller()
        self._future.add_done_callback(lambda _: call(woken.set))
        await woken.wait()

    def result(self) -> T:
        """Return the result, or raise what the function raised; blocks until then."""
        return self._future.result()


class Background:
    """A daemon thread with an event loop that any thread and any loop may give work to."""

    def __init__(self) -> None:
        self.closed = False
        # Reentrant, because an iterator may be collected, and discard its call, at any time.
        self._gate = threading.RLock()
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=anyio.run, args=[self._main], name="eventstore-background", daemon=True
        )
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        # A caller's own context would say that it is trio which runs here.
        self._context = copy_context()
        self._stop = anyio.Event()
        async with anyio.create_task_group() as self.tasks:
            self._ready.set()
            await self._stop.wait()
            self.tasks.cancel_scope.cancel()

    tasks: TaskGroup
    """For work of the background's own; whoever starts it there sees to it that it never raises."""

    def is_mine(self) -> bool:
        """Whether the caller runs in the background's own thread, which must not be blocked."""
        return threading.current_thread() is self._thread

    def soon(self, function: Callable[[], Any]) -> None:
        """Run a callable in the loop; raise StoreClosedError where that cannot be any more."""
        if _current is not self:
            raise StoreClosedError("it was closed, or opened before a fork: subscribe again")
        with self._gate:
            if self.closed:
                raise StoreClosedError("it was closed meanwhile: subscribe again")
            self._loop.call_soon_threadsafe(function, context=self._context)

    def start(self, function: Callable[[], Awaitable[T]]) -> Call[T]:
        """Begin to run a coroutine function."""
        call = Call(function)
        self.soon(lambda: self.tasks.start_soon(call.run))
        return call

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function to its end; cancelling the caller cancels it as well."""
        call = self.start(function)
        try:
            await call.finished()
        except BaseException:
            self.discard(call)
            raise
        return call.result()

    def discard(self, call: Call[Any]) -> None:
        """End a call whose result nobody waits for any more."""
        with suppress(StoreClosedError):
            self.soon(call.cancel)

    def close(self) -> None:
        """End everything that runs, and the thread."""
        with self._gate:
            # Nothing is begun after this, so nobody waits for what never runs.
            self.soon(self._stop.set)
            self.closed = True
        self._thread.join(CLOSING_SECONDS)


_current: Background | None = None
_lock = threading.Lock()
_abandoned: list[object] = []


def get_background() -> Background:
    """Return this process's background loop, started at the first call."""
    global _current  # noqa: PLW0603 - one per process is what it is for
    with _lock:
        if _current is None:
            _current = Background()
        return _current


def close_background() -> None:
    """Close what runs in the background now rather than with the process.

    Subscriptions end with StoreClosedError; the next use of a store opens it again.
    """
    global _current  # noqa: PLW0603 - one per process is what it is for
    with _lock:
        if _current is not None:
            _current.close()
        _current = None


def abandon(thing: object) -> None:
    """Keep what another process opened from being closed here: its files are not ours."""
    _abandoned.append(thing)


@atexit.register
def _close() -> None:
    try:
        close_background()
    except Exception:
        # What was acknowledged is durable in any case.
        log.debug("closing the background loop failed", exc_info=True)


@run_in_child
def _forget() -> None:
    global _current, _lock
    abandon(_current)
    _current, _lock = None, threading.Lock()
