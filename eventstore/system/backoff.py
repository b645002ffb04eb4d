"""Back-off: how long to wait before retrying what has failed."""

from __future__ import annotations

import random
from typing import Final

FIRST_SECONDS: Final = 0.1
MAX_SECONDS: Final = 5.0


class Backoff:
    """Waits that grow with each failure in a row, each a random part of its limit.

    The limit doubles from ``first`` to ``most`` seconds. Taking a random part of the whole of it
    ("full jitter", M. Brooker, "Exponential Backoff and Jitter", 2015) spreads the retries of a
    fleet whose processes lost their server at the same moment.
    """

    def __init__(self, first: float = FIRST_SECONDS, most: float = MAX_SECONDS) -> None:
        self.failures = 0
        """Failures in a row."""
        self._first = first
        self._most = most

    def next(self) -> float:
        """Count one more failure and return the seconds to wait before the next try."""
        limit = min(self._most, self._first * 2.0 ** min(self.failures, 64))
        self.failures += 1
        return random.uniform(0.0, limit)  # noqa: S311 - spreading load, no secret

    def reset(self) -> None:
        """Begin again after a success."""
        self.failures = 0
