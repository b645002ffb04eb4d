"""SIGINT and SIGTERM: the first one ends a command in order, the second one at once.

The handlers are installed once per process, before anything heavy is imported. The first signal
is recorded, and the callback of :func:`on_interrupt` is called; one that is registered later is
called at once. The second signal ends the process without clean-up:
everything that is stored survives a crash.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal arrived while the main thread was in a call that only an exception can end."""


class _Interruption:
    """What is known of signals in this process."""

    def __init__(self) -> None:
        self.signal = 0
        self.callback: Callable[[], None] | None = None
        self.raises = False
        self.wake_up, self._write_end = -1, -1

    def install(self) -> None:
        self.wake_up, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        for number in SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number
        os.write(self._write_end, b"!")
        if self.callback is not None:
            self.callback()
        if self.raises:
            raise Interrupted


_state: Final = _Interruption()


def install() -> None:
    """Handle SIGINT and SIGTERM from here on; called once, from the main thread."""
    _state.install()


def received() -> int:
    """Return the number of the signal that has arrived, 0 for none."""
    return _state.signal


def on_interrupt(callback: Callable[[], None]) -> None:
    """Call ``callback`` when the first signal arrives, or now if it has arrived already.

    It runs within a signal handler: it must neither block nor raise.
    """
    _state.callback = callback
    if _state.signal:
        callback()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let a signal end a blocking call of the main thread, such as a prompt, by Interrupted."""
    before, _state.raises = _state.raises, True
    try:
        if _state.signal:
            raise Interrupted
        yield
    finally:
        _state.raises = before


def wait_readable(descriptor: int) -> bool:
    """Wait until a descriptor can be read; return False where a signal has come first."""
    if _state.wake_up < 0:
        return True
    return descriptor in select.select([descriptor, _state.wake_up], [], [])[0]


def wait_writable(descriptor: int) -> bool:
    """Wait until a descriptor can be written; return False where a signal has come first."""
    if _state.wake_up < 0:
        return True
    return descriptor in select.select([_state.wake_up], [descriptor], [])[1]
