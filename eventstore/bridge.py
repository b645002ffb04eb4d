"""From the store's threads to whatever event loop is waiting, asyncio's or trio's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.lowlevel import current_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

T = TypeVar("T")


def loop_caller() -> Callable[[Callable[[], Any]], None]:
    """Return a function that runs a callable soon in the current event loop.

    It may be called from any thread, never blocks, and does nothing once that loop has
    ended: nobody is left to be told. (anyio's own way waits for the loop's answer, so a
    busy loop would hold up the writer.)
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


async def wait_future(future: Future[T]) -> T:
    """Await a future that is completed in this loop; cancelling withdraws what did not begin."""
    if not future.done():
        woken = anyio.Event()
        future.add_done_callback(lambda _: woken.set())
        try:
            await woken.wait()
        except BaseException:
            future.cancel()
            raise
    return future.result()


class Signal:
    """Something may have changed: wakes every waiter, and those about to wait.

    Take :attr:`count` first, look for changes second, and wait for the count to move
    third: a change in between is then never missed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakers: set[Callable[[], None]] = set()
        self.count = 0
        self.looks = 0
        """How often there was a reason to look for changes: every time but those of ``told``."""

    def set(self, *, told: bool = False) -> None:
        """Wake all waiters; callable from any thread. ``told`` if they need not look for more."""
        with self._lock:
            self.count += 1
            self.looks += not told
            wakers, self._wakers = self._wakers, set()
        for wake in wakers:
            wake()

    async def wait(self, seen: int, timeout: float, woken: anyio.Event) -> bool:
        """Return once ``count`` is not ``seen``, ``woken`` is set, or after the timeout.

        ``timeout`` is in seconds. ``woken`` lets the owner of the wait end it early. Returns
        whether it was woken, rather than the time up.
        """
        call = loop_caller()

        def wake() -> None:
            call(woken.set)

        with self._lock:
            if self.count != seen:
                return True
            self._wakers.add(wake)
        try:
            with anyio.move_on_after(timeout):
                await woken.wait()
                return True
        finally:
            with self._lock:
                self._wakers.discard(wake)
        return False
