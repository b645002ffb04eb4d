"""What became of a store's appends: counted by its writer once metrics ask for it."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from eventstore.errors import ConflictError, DuplicateEventError
from eventstore.log.events import Appended
from eventstore.log.operations import Append
from eventstore.system.distribution import SECONDS, SIZES, Distribution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.operations import Operation


class Counted(Protocol):
    """An operation, and when it was called, by ``perf_counter``: 0 where counting began later."""

    operation: Operation
    begun: float


class WriteCounts:
    """Counters of one store since its metrics were first asked for.

    The thread that leads the writer is the only one that counts.
    """

    def __init__(self) -> None:
        self.appends = 0
        self.events = 0
        self.duplicates = 0
        """Appends whose events were stored before."""
        self.conflicts = 0
        self.failures = 0
        """Appends that failed otherwise."""
        self.seconds = Distribution(SECONDS)
        """From the call of an append until it was durable."""
        self.groups = Distribution(SIZES)
        """Appends that one transaction has stored."""

    def add(self, group: Sequence[Counted], outcomes: Sequence[object]) -> None:
        """Count the appends of a group with their outcomes."""
        taken: list[float] = []
        events, now = 0, perf_counter()
        for one, outcome in zip(group, outcomes, strict=True):
            operation = one.operation
            if operation.__class__ is Append:
                if outcome.__class__ is Appended and not outcome.duplicate:
                    events += operation.events
                    taken.append(now - (one.begun or now))
                else:
                    self._add_other(outcome)
        if taken:
            self.appends += len(taken)
            self.events += events
            self.groups.add(len(taken))
            self.seconds.add_all(taken)

    def _add_other(self, outcome: object) -> None:
        if isinstance(outcome, Appended):
            self.duplicates += 1
        elif isinstance(outcome, ConflictError | DuplicateEventError):
            self.conflicts += 1
        else:
            self.failures += 1
