"""How long to wait before trying again what has failed."""

from __future__ import annotations

import random
from typing import Final

FIRST_SECONDS: Final = 0.1
MAX_SECONDS: Final = 5.0


class Backoff:
    """Waits that grow with each failure in a row, each a random part of its limit.

    The limit doubles from 0.1 to 5 seconds. Taking a random part of the whole of it ("full
    jitter", M. Brooker, "Exponential Backoff and Jitter", 2015) keeps a fleet that lost its
    server at one moment from coming back at one moment.
    """

    def __init__(self) -> None:
        self.failures = 0

    def next(self) -> float:
        """Return how many seconds to wait after one more failure."""
        limit = min(MAX_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures, 10))
        self.failures += 1
        return random.uniform(0.0, limit)  # noqa: S311 - spreading load, no secret

    def reset(self) -> None:
        """Begin again: something has worked."""
        self.failures = 0
