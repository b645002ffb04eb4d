"""When a process reads the head of the log although no wake-up has come.

Wake-ups may be lost, so a process with subscriptions polls: it reads the head after so many
seconds without word from a peer. A peer that has polled and found nothing sends a heartbeat with
the log's position; each heartbeat that confirms the own position postpones the own poll. One of
the processes that reach each other polls for all of them, so the load on the database does
not grow with their number. A process that receives no heartbeats polls for itself.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

AFTER_OWN_READ: Final = (0.75, 0.85)
AFTER_HEARTBEAT: Final = (0.9, 1.0)
"""Bounds of the time until the next poll, in poll intervals. The process that polled last is
due first, and its heartbeat postpones the others before they are due."""

MAX_TRUST: Final = (12.0, 15.0)
"""Poll intervals for which heartbeats can postpone a poll: a peer that reaches a Redis without a
key could send false ones for ever."""


class PollSchedule:
    """The time of the next poll, for all subscriptions of a store.

    ``poll`` is the poll interval in seconds; ``now`` a clock in seconds that never runs backwards.
    """

    def __init__(self, poll: float, now: Callable[[], float] = time.monotonic) -> None:
        self._poll = poll
        self._now = now
        self._due = self._latest = now()
        self.log_read()

    def log_read(self) -> bool:
        """Start a new interval: this process has read the head. Return whether to send a heartbeat.

        False where the read only verified the heartbeats of a peer, which goes on sending them.
        """
        without_heartbeats = self._due < self._latest
        self._latest = self._after(MAX_TRUST)
        self._due = self._after(AFTER_OWN_READ if without_heartbeats else AFTER_HEARTBEAT)
        return without_heartbeats

    def heartbeat(self) -> None:
        """Start a new interval: a peer confirms that the log has nothing new."""
        self._due = min(self._after(AFTER_HEARTBEAT), self._latest)

    def remaining(self) -> float:
        """Return the seconds until the next poll; 0 where it is due."""
        return max(0.0, self._due - self._now())

    def _after(self, intervals: tuple[float, float]) -> float:
        return self._now() + self._poll * random.uniform(*intervals)  # noqa: S311 - spreads load
