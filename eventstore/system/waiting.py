"""How code that serves event loops and threads alike waits.

The store's reading and following is written once, as coroutines that wait by a :class:`Waiting`
only: :class:`eventstore.system.event_loop.LoopWaiting` suspends a task of asyncio or trio,
:class:`eventstore.system.turn_waiting.TurnWaiting` blocks a thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from typing import TypeAlias

    from eventstore.system.owners import LoopGuard
    from eventstore.system.pending import Pending

    Call: TypeAlias = Callable[[Callable[[], Any]], None]

T = TypeVar("T")
W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)


class WaitEvent(Protocol):
    """An event that is set once."""

    def set(self) -> None:
        """Set it, and so end each wait for it."""

    async def wait(self) -> object:
        """Return once it is set."""


class Worker(Protocol[W_contra]):
    """What does work one way or the other."""

    def submit(self, work: W_contra, /) -> Pending[Any]:
        """Let another thread do it."""

    def perform(self, work: W_contra, /) -> Any:
        """Do it in this thread, or wait for the one that does; return its outcome."""


class Waiting(Protocol):
    """Waits for what the coroutines of a store wait for."""

    in_loop: bool
    """Whether coroutines run in an event loop, which one that blocks would keep from others."""

    def start(self) -> None:
        """Begin, where the store is opened."""

    async def bind(self, guard: LoopGuard) -> None:
        """Let an object belong where coroutines run; raise what its guard raises."""

    async def run_to_end(
        self, function: Callable[[], T], undo: Callable[[], object] | None, name: str
    ) -> T:
        """Return ``function()``, which is not left half done where the caller is cancelled.

        Then it is undone by ``undo()``. ``name`` is that of its thread, where it gets one.
        """

    def caller(self) -> Call:
        """Return a function that runs a callable where coroutines run; from any thread."""

    def event(self) -> WaitEvent:
        """Return a new event."""

    def setter(self, event: WaitEvent) -> Callable[[], None]:
        """Return a function that sets ``event``; called from any thread."""

    def lock(self) -> AbstractAsyncContextManager[object]:
        """Return a new lock."""

    async def wait(self, event: WaitEvent, seconds: float) -> bool:
        """Return True once ``event`` is set, False after so many seconds."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, which may block, while other coroutines go on."""

    async def in_query_thread(self, function: Callable[[], T], seconds: float) -> T:
        """Return ``function()`` from one of a few threads for queries.

        Raises TimeoutError, and does not call it, where none is free within ``seconds``.
        """

    async def outcome(self, worker: Worker[W], work: W) -> Any:
        """Return the outcome of work, done by ``worker``, or raise its error."""

    def cancelled(self) -> bool:
        """Whether the caller is cancelled, and so in a hurry."""

    def shield(self) -> AbstractContextManager[object]:
        """Return a context in which the caller is not cancelled."""

    def cancellable(self, work: Callable[[Any], T]) -> Callable[[Any], T]:
        """Let work in a thread end with its cancelled caller, at its next report of progress."""
