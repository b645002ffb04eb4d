"""Waiting for readers that hold a projection's tables, beside writers, and saying so."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from eventstore.errors import ProjectionHeldError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

TRY_SECONDS: Final = 0.05
TRIES: Final = 10
"""How long a try waits for readers, and all writers with it; twice as long after so many.

Between two tries writers have four times as long."""

SAY_SECONDS: Final = 1.0
"""After how long the program's log names the readers, and then four times as often as long."""


class HeldError(Exception):
    """Readers hold a projection's tables: the transaction is rolled back.

    ``pids`` are the server's processes that hold them.
    """

    def __init__(self, pids: Sequence[int]) -> None:
        super().__init__(pids)
        self.pids = pids


class HeldWait:
    """The wait of one caller for the tables of the projection ``name``, ``most`` seconds if given.

    ``clock`` gives seconds.
    """

    def __init__(
        self, name: str, most: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._most, self._clock = name, most, clock
        self._tries = 0
        self._began = 0.0
        self._say_after = SAY_SECONDS

    @property
    def patience(self) -> float:
        """Seconds that the next try may wait."""
        return float(TRY_SECONDS * 2 ** (self._tries // TRIES))

    def pause(self, pids: Sequence[int]) -> float:
        """Return the seconds until the next try; raise ProjectionHeldError where it is too late."""
        now = self._clock()
        self._began = self._began if self._tries else now - self.patience
        pause = 4 * self.patience
        self._tries += 1
        waited = now - self._began
        if self._most is not None and waited + pause > self._most:
            raise ProjectionHeldError(self._name, waited, pids)
        if waited >= self._say_after:
            self._say_after *= 4
            holders = ", ".join(map(str, pids)) or "unknown"
            log.warning(
                "projection %r: readers have held its tables for %.0f s, and are waited for "
                "(processes of the server: %s)",
                self._name,
                waited,
                holders,
            )
        return pause
