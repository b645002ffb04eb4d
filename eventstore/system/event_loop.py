"""From threads to the event loop that waits for them, asyncio's or trio's."""

from __future__ import annotations

import asyncio
import math
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio
from anyio import from_thread
from anyio.lowlevel import checkpoint, current_token

from eventstore.limits import QUERY_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from eventstore.system.owners import LoopGuard
    from eventstore.system.pending import Pending
    from eventstore.system.waiting import Call, WaitEvent, Waiting, Worker

T = TypeVar("T")
W = TypeVar("W")

THREADS: Final = 8
"""Blocking calls of one store at once: pages that are read, for example."""

INBOX: Final = 256
"""Items that may wait for a busy event loop."""


def loop_caller() -> Call:
    """Return a function that runs a callable soon in the current event loop.

    It may be called from any thread, never blocks, and does nothing once that loop has
    ended. (anyio's own way waits for the loop's answer, so a busy loop would block the writer.)
    """
    native: Any = current_token().native_token
    soon = native.run_sync_soon if hasattr(native, "run_sync_soon") else native.call_soon_threadsafe

    def call(function: Callable[[], Any]) -> None:
        try:
            soon(function)
        except RuntimeError:
            # Both loops raise a RuntimeError once they are closed.
            return

    return call


def task_id() -> int:
    """Return what tells the current task from others that run: anyio's id, without its facts."""
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return anyio.get_current_task().id


class _Thread(threading.local):
    """What is known in a thread of :func:`run_to_end`."""

    cancelled: threading.Event | None = None
    """Set once the task that waits for the thread's function is cancelled."""


_thread = _Thread()


def check_cancelled() -> None:
    """End a wait in a thread that an event loop waits for, once the waiting task is cancelled.

    Raises the loop's own exception of a cancelled task, or asyncio's in a thread of
    :func:`run_to_end`; does nothing in any other thread.
    """
    if _thread.cancelled is not None:
        if _thread.cancelled.is_set():
            raise asyncio.CancelledError
        return
    with suppress(RuntimeError):
        from_thread.check_cancelled()


async def wait_settled(pending: Pending[T], native: Any) -> T:
    """Await what is told in this loop that it is settled; return its result or raise its error.

    ``native`` is asyncio's loop, or trio's token. Cancelling the caller cancels what it waits for,
    which has an effect only before the work begins.
    """
    if not pending.settled:
        try:
            if isinstance(native, asyncio.AbstractEventLoop):
                # Lighter than anyio's event, which is such a future with two objects around it.
                future = native.create_future()
                pending.on_settled = partial(_wake, future)
                await future
            else:
                woken = anyio.Event()
                pending.on_settled = woken.set
                await woken.wait()
        except BaseException:
            pending.cancel()
            raise
    return pending.result()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def run_to_end(
    function: Callable[[], T], undo: Callable[[], object] | None = None, *, name: str
) -> T:
    """Return what ``function`` returns in a thread of its own, called ``name``.

    Once begun it is never left half done: where the caller is cancelled meanwhile, in anyio's way
    or in asyncio's own, this waits for the end of ``function``, and raises the cancellation then.
    With ``undo`` the cancellation ends its waits too (:func:`check_cancelled`), and where it
    returned all the same, ``undo`` is called. A coroutine that is thrown away, its event loop with
    it, cannot wait: then ``undo`` is called in the thread after ``function`` has returned.
    """
    future: Future[T] = Future()
    call, woken, ended = loop_caller(), anyio.Event(), threading.Event()
    future.add_done_callback(lambda _: call(woken.set))
    arguments = (future, function, ended if undo is not None else None)
    threading.Thread(target=_run_into, args=arguments, name=name, daemon=True).start()
    cancelled: BaseException | None = None
    while not woken.is_set():
        with anyio.CancelScope(shield=cancelled is not None):
            try:
                await woken.wait()
            except GeneratorExit:
                ended.set()
                if undo is not None:
                    future.add_done_callback(lambda done: done.exception() or undo())
                raise
            except BaseException as error:  # Asyncio's own cancellation knows no shield.
                cancelled = error
                ended.set()
    if cancelled is not None:
        if undo is not None and future.exception() is None:
            await run_to_end(undo, name=name)
        raise cancelled
    return future.result()


def _run_into(
    future: Future[T], function: Callable[[], T], cancelled: threading.Event | None
) -> None:
    _thread.cancelled = cancelled
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


class LoopWaiting:
    """Waits in the event loop that runs the coroutines, asyncio's or trio's."""

    in_loop = True

    def start(self) -> None:
        """Limit the blocking calls of the store, and note the loop."""
        self._native = current_token().native_token
        self._limiter = anyio.CapacityLimiter(THREADS)
        self._query_turns = anyio.Semaphore(QUERY_THREADS)
        self._query_threads = anyio.CapacityLimiter(QUERY_THREADS)

    async def bind(self, guard: LoopGuard) -> None:
        """Let an object belong to the current event loop, unless the task is cancelled."""
        guard.check()
        await checkpoint()
        guard.bind()

    async def run_to_end(
        self, function: Callable[[], T], undo: Callable[[], object] | None, name: str
    ) -> T:
        """Return what ``function`` returns in a thread of its own; see :func:`run_to_end`."""
        return await run_to_end(function, undo, name=name)

    def caller(self) -> Call:
        """Return a function that runs a callable soon in the current event loop."""
        return loop_caller()

    def event(self) -> WaitEvent:
        """Return a new event."""
        return anyio.Event()

    def setter(self, event: WaitEvent) -> Callable[[], None]:
        """Return a function that sets ``event`` in the current event loop, from any thread."""
        call = loop_caller()
        return lambda: call(event.set)

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a new lock."""
        return anyio.Lock()

    async def wait(self, event: WaitEvent, seconds: float) -> bool:
        """Return True once ``event`` is set, False after so many seconds."""
        with anyio.move_on_after(seconds):
            await event.wait()
            return True
        return False

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await anyio.sleep(seconds)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)`` from a thread under the store's limit."""
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)

    async def in_query_thread(self, function: Callable[[], T], seconds: float) -> T:
        """Return ``function()`` from one of the store's threads for queries."""
        try:
            self._query_turns.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.fail_after(seconds):
                await self._query_turns.acquire()
        try:
            return await anyio.to_thread.run_sync(function, limiter=self._query_threads)
        finally:
            self._query_turns.release()

    async def outcome(self, worker: Worker[W], work: W) -> Any:
        """Return the outcome of work that is submitted."""
        return await wait_settled(worker.submit(work), self._native)

    def cancelled(self) -> bool:
        """Whether the current task is cancelled."""
        return anyio.current_effective_deadline() == -math.inf

    def shield(self) -> AbstractContextManager[object]:
        """Return a context in which the caller is not cancelled."""
        return anyio.CancelScope(shield=True)

    def cancellable(self, work: Callable[[Any], T]) -> Callable[[Any], T]:
        """Let work in a thread end with its cancelled caller, at its next report of progress."""
        return cancellable(work)


def cancellable(
    work: Callable[[Callable[[int, int], None]], T],
) -> Callable[[Callable[[int, int], None]], T]:
    """Let work in a thread end with its cancelled caller, at its next report of progress."""

    def run(progress: Callable[[int, int], None]) -> T:
        def report(done: int, total: int) -> None:
            from_thread.check_cancelled()
            progress(done, total)

        return work(report)

    return run


class Signal:
    """A signal that something may have changed; it wakes every waiter.

    Take :attr:`count` first, look for changes second, and wait for the count to move
    third: a change in between is then never missed.
    """

    def __init__(self, waiting: Waiting | None = None) -> None:
        self._waiting = waiting or LoopWaiting()
        self._lock = threading.Lock()
        self._wakers: set[Callable[[], None]] = set()
        self.count = 0
        """How often the signal was set."""
        self.read_requests = 0
        """How many of these asked the waiters to read for changes."""

    @property
    def awaited(self) -> bool:
        """Whether a task waits for it now; may be read from any thread."""
        return bool(self._wakers)

    def set(self, *, read: bool = True) -> None:
        """Wake all waiters; callable from any thread.

        Without ``read`` the change is in memory already, and the waiters need not read for it.
        """
        with self._lock:
            self.count += 1
            self.read_requests += read
            wakers, self._wakers = self._wakers, set()
        for wake in wakers:
            wake()

    async def wait(self, seen: int, timeout: float, woken: WaitEvent) -> bool:
        """Return once ``count`` is not ``seen``, ``woken`` is set, or after the timeout.

        ``timeout`` is in seconds. The caller may set ``woken`` to end the wait early. Returns
        False after the timeout, True otherwise.
        """
        wake = self._waiting.setter(woken)
        with self._lock:
            if self.count != seen:
                return True
            self._wakers.add(wake)
        try:
            return await self._waiting.wait(woken, timeout)
        finally:
            with self._lock:
                self._wakers.discard(wake)


class Inbox(Generic[T]):
    """A bounded queue from threads to an event loop that may be busy.

    ``call`` runs a callable in the event loop. ``take`` is called there with each item, in
    order. Once more than ``INBOX`` items wait, all of them are dropped and ``overflow`` is
    called instead.
    """

    def __init__(
        self,
        call: Callable[[Callable[[], Any]], None],
        take: Callable[[T], None],
        overflow: Callable[[], None],
    ) -> None:
        self._call, self._take, self._overflow = call, take, overflow
        self._lock = threading.Lock()
        self._items: list[T] = []
        self._called = False
        self._full = False

    def put(self, item: T) -> None:
        """Add an item; callable from any thread."""
        with self._lock:
            if len(self._items) >= INBOX:
                self._full = True
                self._items.clear()
            if not self._full:
                self._items.append(item)
            called, self._called = self._called, True
        if not called:
            self._call(self._empty)

    def _empty(self) -> None:
        with self._lock:
            items, self._items = self._items, []
            full, self._full = self._full, False
            self._called = False
        for item in items:
            self._take(item)
        if full:
            self._overflow()
