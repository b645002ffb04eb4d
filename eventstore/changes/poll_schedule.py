"""When a process has to look at the log although nothing has told it to.

A hint may be lost, so whoever follows looks for itself after so many seconds of silence. A
message that the log is where one is breaks the silence: somebody has just looked, and found
nothing that one lacks. So of all the processes that hear each other one looks, and tells the
others; how many there are makes no difference to the database. Where nothing is heard, for
whatever reason, each looks for itself.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN: Final = (0.75, 0.85)
AFTER_OTHERS: Final = (0.9, 1.0)
"""Between which parts of the poll interval the next look comes. Who looked last comes first:
the others hear of it before their own time is up, and do not look."""

MOST: Final = (12.0, 15.0)
"""For how many poll intervals others are believed: anybody who reaches a Redis without a key
can say that the log is where it is."""


class PollSchedule:
    """The time of the next look, for all followers of a store.

    ``poll`` is in seconds; ``now`` a clock that never runs backwards.
    """

    def __init__(self, poll: float, now: Callable[[], float] = time.monotonic) -> None:
        self._poll = poll
        self._now = now
        self._due = self._latest = now()
        self.looked()

    def looked(self) -> bool:
        """Begin to wait: we have looked. Return whether others are to be told.

        They are not where we have only made sure that what they say is true: they go on
        telling us.
        """
        silent = self._due < self._latest
        self._latest = self._after(MOST)
        self._due = self._after(AGAIN if silent else AFTER_OTHERS)
        return silent

    def heard(self) -> None:
        """Begin to wait: somebody says that there is nothing new."""
        self._due = min(self._after(AFTER_OTHERS), self._latest)

    def rest(self) -> float:
        """Return how many seconds are left until the next look; 0 where it is due."""
        return max(0.0, self._due - self._now())

    def _after(self, parts: tuple[float, float]) -> float:
        return self._now() + self._poll * random.uniform(*parts)  # noqa: S311 - spreads load
