"""How many events one step of bringing a projection up applies, and a report now and then."""

from __future__ import annotations

import logging
import time
from typing import Final

from eventstore.storage._inline import REST_EVENTS

log = logging.getLogger(__name__)

STEP_SECONDS: Final = 0.01
"""How long a step should take: other writers of a SQLite file wait for it."""

LEAST_CPU_SECONDS: Final = 0.004
MOST_STRETCH: Final = 4
"""Processor time that a step should have, and how many times longer it may take for that."""

FIRST_STEP: Final = 32
LARGEST_STEP: Final = 2_000
"""Events of a step: of the first one, and at the most."""

MOST_TRIES: Final = 20
"""Steps, after few events are left, until even fewer are."""

REPORT_SECONDS: Final = 5.0
"""Seconds between two lines of progress in the log of the program."""


class StepSize:
    """How many events a step applies, so that it takes ``aim`` seconds.

    ``seconds`` are those that the last one took.
    """

    def __init__(self, aim: float = STEP_SECONDS) -> None:
        self._aim = aim
        self.events = FIRST_STEP
        self.seconds = 0.0
        self._tries = 0
        self._began = 0.0, 0.0

    def begin(self) -> None:
        """Take note that a step begins, its turn not waited for any more."""
        self._began = time.monotonic(), time.thread_time()

    def adapt(self, applied: int) -> None:
        """Choose the size of the next step by the time that this one has taken."""
        began, began_cpu = self._began
        self.seconds = time.monotonic() - began
        fitting = applied * self._aim / max(self.seconds, 1e-6)
        # Where other work has the processor, steps of few events would take longest in all.
        useful = applied * LEAST_CPU_SECONDS / max(time.thread_time() - began_cpu, 1e-6)
        fitting = max(fitting, min(useful, MOST_STRETCH * fitting))
        self.events = max(1, min(LARGEST_STEP, 2 * self.events, int(fitting)))

    def rest(self) -> int:
        """How many events the transaction that holds the writers up applies at the most.

        As many as are applied in twice :data:`STEP_SECONDS`, until so many tries have shown that
        others append faster.
        """
        if self._tries > MOST_TRIES:
            return REST_EVENTS
        return min(REST_EVENTS, max(1, int(2 * self.events * STEP_SECONDS / self._aim)))

    def leaves_little(self, left: int) -> bool:
        """Whether what is left can be applied while the writers wait: in the time of two steps.

        So many tries at the most, because others append meanwhile; never more than
        :data:`REST_EVENTS`.
        """
        if left > REST_EVENTS:
            return False
        self._tries += 1
        return left <= self.rest()


class Progress:
    """Logs how many events are left, now and then."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._due = time.monotonic() + REPORT_SECONDS

    def report(self, left: int) -> None:
        """Take note of how many events are left."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REPORT_SECONDS
            log.info("projection %r is being brought up: %d events are left", self._name, left)
