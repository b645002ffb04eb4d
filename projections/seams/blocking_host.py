"""A seam that runs in the background loop, for callers of any thread and any event loop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import anyio

from eventstore.errors import StoreClosedError
from eventstore.system.fork_hooks import ForkLock
from projections.seams.background_loop import abandon, get_background
from projections.seams.shared_stores import SharedChanges

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup, TaskStatus

    from projections.seams.background_loop import Background, Call

T = TypeVar("T")


class Hosted(Protocol):
    """What is opened, does work beside its calls, and is closed, all in one event loop."""

    async def open(self) -> None:
        """Open it. Where this fails, it is tried again at the next call."""

    async def work(self) -> None:
        """Do what has to be done beside the calls, until cancelled; raises nothing."""

    async def close(self) -> None:
        """Close it; called once, after an opening that worked."""


S = TypeVar("S", bound=Hosted)


class Host(Generic[S]):
    """Opens a thing in the process's background loop at its first use, and runs calls there.

    ``make`` makes it, unopened; ``what`` names it in messages. In a forked child, and after
    the background was closed, it is made anew at its next use. Not so where it is not
    ``lasting``, so that what it holds ends with it: then each use is a StoreClosedError.
    """

    def __init__(self, make: Callable[[], S], what: str, *, lasting: bool) -> None:
        self._make = make
        self._what = what
        self._lasting = lasting
        self._gate = ForkLock()
        self._home: tuple[Background, _Home[S]] | None = None
        self.closed = False

    def run(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Return what ``function`` returns in the background; blocks until then.

        Raises StoreClosedError once it is closed, and in the background's own thread, which
        would wait for itself.
        """
        background, home = self._at_home()
        if background.is_mine():
            raise StoreClosedError(f"{self._what}: this call blocks, and would wait for itself")
        call: Call[T] = background.start(partial(home.use, function))
        try:
            return call.result()
        finally:
            if not call.done:  # Interrupted, as by Ctrl-C: nobody waits for it any more.
                background.discard(call)

    def follow(self, subscribe: Callable[[S], Awaitable[Any]]) -> SharedChanges[Any]:
        """Return an iterator for any loop over what ``subscribe`` opens in the background."""
        source = self.run(subscribe)
        background, _ = self._at_home()
        return SharedChanges(background, source)

    def close(self) -> None:
        """End it, once the calls that run are done; nothing is run after this. Twice is fine."""
        with self._gate:
            self.closed, (home, self._home) = True, (self._home, None)
        if home is not None and not home[0].closed:
            try:
                call = home[0].start(home[1].end)
            except StoreClosedError:
                abandon(home)  # It is another process's, or was closed meanwhile.
            else:
                call.result()

    def _at_home(self) -> tuple[Background, _Home[S]]:
        background = get_background()
        with self._gate:
            if self.closed:
                raise StoreClosedError(f"{self._what} is closed: make another one")
            if self._home is None or self._home[0] is not background:
                if self._home is not None:
                    self._leave(self._home)
                self._home = background, _Home(background.tasks, self._make())
            return self._home

    def _leave(self, home: tuple[Background, _Home[S]]) -> None:
        if not home[0].closed:
            abandon(home)
        if not self._lasting:
            raise StoreClosedError(
                f"{self._what} was in the memory of a process, or of a background, that is no "
                "more: make another one"
            )


class _Home(Generic[S]):
    """The thing itself, in the event loop that ``tasks`` belongs to."""

    def __init__(self, tasks: TaskGroup, thing: S) -> None:
        self._tasks = tasks
        self._thing = thing
        self._opening: anyio.Lock | None = None
        self._open = False
        self._running = 0
        self._over = False

    async def use(self, function: Callable[[S], Awaitable[T]]) -> T:
        """Open what is not open yet, and run a function with it."""
        if self._opening is None:
            self._opening, self._idle = anyio.Lock(), anyio.Event()
            self._ending, self._ended = anyio.Event(), anyio.Event()
        if self._over:
            raise StoreClosedError("it was closed meanwhile")
        self._running += 1
        try:
            async with self._opening:
                if not self._open:
                    await self._tasks.start(self._serve)
            return await function(self._thing)
        finally:
            self._running -= 1
            if not self._running:
                self._idle.set()
                self._idle = anyio.Event()

    async def end(self) -> None:
        """Close it once nothing runs any more."""
        self._over = True
        while self._running:
            await self._idle.wait()
        if self._open:
            self._ending.set()
            await self._ended.wait()

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Hold it open until it is ended, or the background is."""
        await self._thing.open()
        self._open = True
        try:
            async with anyio.create_task_group() as work:
                work.start_soon(self._thing.work)
                task_status.started()
                await self._ending.wait()
                work.cancel_scope.cancel()
        finally:
            self._open = False
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _close(self) -> None:
        try:
            await self._thing.close()
        finally:
            self._ended.set()
