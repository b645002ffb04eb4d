"""A store that runs in the background loop, for callers of any thread and any event loop."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import anyio

from eventstore.errors import StoreClosedError
from eventstore.system.fork_hooks import ForkLock
from eventstore.system.owners import Unpicklable, warn_unclosed
from projections.seams.background_loop import get_background_loop, keep_unclosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup, TaskStatus

    from projections.seams.background_loop import BackgroundCall, BackgroundLoop

log = logging.getLogger(__name__)
T = TypeVar("T")


class AsyncStore(Protocol):
    """What is opened, does work beside its calls, and is closed, all in one event loop."""

    async def open(self) -> None:
        """Open it. The next call retries an opening that failed."""

    async def work(self) -> None:
        """Do the work beside the calls, until cancelled."""

    async def close(self) -> None:
        """Close it; called once after each successful :meth:`open`."""


S = TypeVar("S", bound=AsyncStore)


def _unchanged(item: Any) -> Any:
    return item


def _finish(loop: BackgroundLoop, call: BackgroundCall[T]) -> T:
    """Wait for a call; cancel it where that is interrupted, as by Ctrl-C."""
    try:
        return call.result()
    finally:
        if not call.done:
            loop.cancel(call)


async def _nothing(_: object) -> None:
    """Do nothing."""


class BackgroundStore(Unpicklable, Generic[S]):
    """Opens a store in the process's background loop at its first use, and runs calls there.

    ``make`` makes the store, unopened; ``what`` names it in messages. In a forked child, and
    after the background loop was closed, the next use makes it again. If it is not
    ``reopenable``, because its content is in memory, each such use raises StoreClosedError.
    """

    def __init__(self, make: Callable[[], S], what: str, *, reopenable: bool = True) -> None:
        self._make = make
        self._what = what
        self._reopenable = reopenable
        self._lock = ForkLock()
        self._current: tuple[BackgroundLoop, _LoopStore[S]] | None = None
        self.closed = False

    def run(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Return what ``function`` returns in the background loop; blocks until then.

        Raises StoreClosedError once it is closed, and in the background loop's own thread,
        which would wait for itself.
        """
        loop, store = self._get()
        if loop.is_current_thread():
            raise StoreClosedError(f"{self._what}: this call blocks, and would wait for itself")
        return _finish(loop, loop.start(partial(store.use, function)))

    def here(
        self, function: Callable[[S], T], then: Callable[[S, T], Awaitable[object]] | None = None
    ) -> T:
        """Return what ``function`` returns in the calling thread, with the store open meanwhile.

        ``then`` is awaited in the background loop before this returns. Raises what :meth:`run`
        raises.
        """
        loop, store = self._get()
        if loop.is_current_thread():
            raise StoreClosedError(f"{self._what}: this call blocks, and would wait for itself")
        if not store.enter():
            self.run(_nothing)  # Opens it.
            if not store.enter():
                raise StoreClosedError(f"{self._what} was closed meanwhile")
        try:
            result = function(store.store)
            if then is not None:
                _finish(loop, loop.start(partial(then, store.store, result)))
            return result
        finally:
            if store.leave():
                with suppress(StoreClosedError):
                    loop.call_soon(store.left)

    async def call(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Return what ``function`` returns in the background loop, to a caller of any loop.

        Cancelling the caller cancels the call, and nothing else.
        """
        loop, store = self._get()
        return await loop.call(partial(store.use, function))

    def follow(
        self, subscribe: Callable[[S], Awaitable[Any]], convert: Callable[[Any], T] = _unchanged
    ) -> BackgroundChanges[T]:
        """Return an iterator for any loop over what ``subscribe`` opens in the background loop.

        ``convert`` makes what callers get of each item, in their own thread.
        """
        source = self.run(subscribe)
        loop, _ = self._get()
        return BackgroundChanges(loop, source, keep=self, convert=convert)

    def close(self) -> None:
        """Close the store after its running calls; later calls raise. A second call is fine."""
        with self._lock:
            self.closed, (current, self._current) = True, (self._current, None)
        if current is not None and not current[0].closed:
            try:
                call = current[0].start(current[1].end)
            except StoreClosedError:
                keep_unclosed(current)  # It is the parent process's, or was closed meanwhile.
            else:
                call.result()

    def __del__(self) -> None:
        """Warn of a store that was never closed, and close it in the background loop."""
        current = getattr(self, "_current", None)
        if current is None or current[0].closed or not current[1].is_open:
            return
        with suppress(StoreClosedError):
            current[0].start(current[1].end)
            warn_unclosed(self, self._what, "use 'with', or call its close()")

    def _get(self) -> tuple[BackgroundLoop, _LoopStore[S]]:
        loop = get_background_loop()
        with self._lock:
            if self.closed:
                raise StoreClosedError(f"{self._what} is closed: make another one")
            if self._current is None or self._current[0] is not loop:
                if self._current is not None:
                    self._leave(self._current)
                self._current = loop, _LoopStore(loop.tasks, self._make(), self._what)
            return self._current

    def _leave(self, current: tuple[BackgroundLoop, _LoopStore[S]]) -> None:
        if not current[0].closed:
            keep_unclosed(current)
        if not self._reopenable:
            raise StoreClosedError(
                f"{self._what} was in the memory of a process, or of a background loop, that is "
                "no more: make another one"
            )


class _LoopStore(Generic[S]):
    """The store itself, in the event loop that ``tasks`` belongs to."""

    def __init__(self, tasks: TaskGroup, store: S, what: str) -> None:
        self._tasks = tasks
        self.store = store
        self._what = what
        self._threads = 0
        self._lock = threading.Lock()
        self._opening: anyio.Lock | None = None
        self._idle: anyio.Event
        self._open = False
        self._running = 0
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether the store is open; False after an opening that failed."""
        return self._open

    def enter(self) -> bool:
        """Begin a call in a thread; False, and no call, where the store is not open."""
        with self._lock:
            if not self._open or self._ended:
                return False
            self._threads += 1
            return True

    def leave(self) -> bool:
        """End a call in a thread; return whether :meth:`end` waits for it, by :meth:`left`."""
        with self._lock:
            self._threads -= 1
            return self._ended and not self._threads

    def left(self) -> None:
        """Wake what waits for the last call; called in the loop."""
        self._idle.set()
        self._idle = anyio.Event()

    async def use(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Open the store unless it is open, and run a function with it."""
        if self._opening is None:  # Made here, so that they belong to this event loop.
            self._opening, self._idle = anyio.Lock(), anyio.Event()
        if self._ended:
            raise StoreClosedError("it was closed meanwhile")
        self._running += 1
        try:
            async with self._opening:
                if not self._open:
                    await self._tasks.start(self._serve)
            return await function(self.store)
        finally:
            self._running -= 1
            if not self._running:
                self.left()

    async def end(self) -> None:
        """Close the store once no call runs any more."""
        with self._lock:
            self._ended = True
        while self._running or self._threads:
            await self._idle.wait()
        if self._open:
            self._end.set()
            await self._closed.wait()

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Keep the store open, with its work, until it is ended or the loop is closed."""
        await self.store.open()
        self._end, self._closed = anyio.Event(), anyio.Event()
        self._open = True
        try:
            async with anyio.create_task_group() as work:
                work.start_soon(self.store.work)
                task_status.started()
                await self._end.wait()
                work.cancel_scope.cancel()
        except Exception:
            log.exception("%s failed; its next use opens it again", self._what)
        finally:
            self._open = False
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _close(self) -> None:
        try:
            await self.store.close()
        finally:
            self._closed.set()


class BackgroundChanges(Unpicklable, Generic[T]):
    """An async iterator for any event loop over a subscription in the background loop.

    A caller that is cancelled loses nothing: the next call returns what was read for it, and so
    it is where ``convert`` raises. ``source`` is an async iterator of the background loop, with
    ``aclose``; ``keep`` is what has to stay open meanwhile.
    """

    def __init__(
        self,
        loop: BackgroundLoop,
        source: Any,
        *,
        keep: object = None,
        convert: Callable[[Any], T] = _unchanged,
    ) -> None:
        self._loop = loop
        self._keep = keep
        self._source = source
        self._convert = convert
        self._pending: BackgroundCall[Any] | None = None
        self._guard = anyio.ResourceGuard("reading from")

    def __aiter__(self) -> BackgroundChanges[T]:
        return self

    async def __anext__(self) -> T:
        with self._guard:
            if self._pending is None:
                self._pending = self._loop.start(self._source.__anext__)
            pending = self._pending
            await pending.wait()
            self._pending = None
            item = pending.result()
            try:
                return self._convert(item)
            except BaseException:
                self._pending = pending
                raise

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self._loop.call(self._source.aclose)

    def __del__(self) -> None:
        if self._pending is not None:
            self._loop.cancel(self._pending)
