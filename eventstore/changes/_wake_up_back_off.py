"""Back-off against false wake-ups: those after which the log has nothing new.

A peer that may send wake-ups could otherwise cause reads of the log without an end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventstore.system.waiting import Waiting

FREE_FALSE_WAKE_UPS: Final = 3
"""False wake-ups in a row that delay nothing."""

FIRST_DELAY_SECONDS: Final = 0.005
MAX_DELAY_SECONDS: Final = 0.05
"""Delay of a read after that many false wake-ups; it doubles with each further one, up to the
maximum."""


class WakeUpBackOff:
    """Delays reads of the log that wake-ups ask for, after false wake-ups in a row."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self.false_wake_ups = 0
        """False wake-ups in a row."""
        self._not_before = 0.0
        self._ended = self._waiting.event()

    def record(self, *, false: bool) -> None:
        """Record a read: whether it came from a wake-up and found nothing."""
        self.false_wake_ups = self.false_wake_ups + 1 if false else 0
        excess = self.false_wake_ups - FREE_FALSE_WAKE_UPS
        if excess < 0:
            self._not_before = 0.0
            return
        seconds = min(FIRST_DELAY_SECONDS * 2 ** min(excess, 10), MAX_DELAY_SECONDS)
        self._not_before = time.monotonic() + seconds

    def end(self) -> None:
        """Forget the false wake-ups and end a delay: this process knows of something new."""
        self.false_wake_ups, self._not_before = 0, 0.0
        self._ended.set()

    async def wait(self) -> None:
        """Return once a read is due, or :meth:`end` was called."""
        seconds = self._not_before - time.monotonic()
        if seconds <= 0:
            return
        self._ended = self._waiting.event()
        await self._waiting.wait(self._ended, seconds)
