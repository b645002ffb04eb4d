"""The library to compare with: pyeventsourcing, at two levels.

Its *recorder* stores ``StoredEvent`` values made ready beforehand: the least it can do.
Its *application* is what its users call: ``aggregate.note(…)`` and ``app.save(aggregate)``.
Both commit durably once per call (on SQLite: WAL, and its default of ``synchronous=FULL``).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import msgspec
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import StoredEvent

from benchmarks.data import payload

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

TOPIC: Final = "benchmarks.peer:Rule.Tuned"


class Rule(Aggregate):
    """A thing with events of the common shape."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}

    @event("Tuned")
    def tune(self, data: dict[str, Any]) -> None:
        """Trigger one event."""
        self.last = data


def sqlite_settings(path: Path) -> dict[str, str]:
    """Return the peer's settings for a file."""
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(path),
        "SQLITE_LOCK_TIMEOUT": "60",
        "SQLITE_POOL_TIMEOUT": "60",
    }


class Peer:
    """An application with 64 aggregates, and its recorder, on one database."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.app: Application[UUID] = Application(env=settings)
        self.recorder = self.app.recorder
        self.aggregates = [Rule() for _ in range(64)]
        self.app.save(*self.aggregates)
        self._ids = [uuid4() for _ in range(64)]
        self._versions = [0] * 64

    def ready(self, count: int, streams: Sequence[int]) -> list[StoredEvent]:
        """Return stored events for the numbered aggregates in turn."""
        numbers = itertools.islice(itertools.cycle(streams), count)
        return [self._ready(at, number) for at, number in enumerate(numbers)]

    def _ready(self, at: int, number: int) -> StoredEvent:
        self._versions[number] += 1
        state = msgspec.json.encode(payload(at))
        return StoredEvent(self._ids[number], self._versions[number], TOPIC, state)

    def tune(self, number: int, count: int) -> None:
        """Trigger events on one aggregate and save it once."""
        aggregate = self.aggregates[number]
        for at in range(count):
            aggregate.tune(payload(at))
        self.app.save(aggregate)

    def notifications(self, size: int) -> Iterator[Sequence[StoredEvent]]:
        """Yield everything in order of notification id, a page at a time."""
        start: int | None = None
        while page := self.recorder.select_notifications(start, size, inclusive_of_start=False):
            yield page
            start = page[-1].id

    def close(self) -> None:
        """Release the file."""
        self.app.close()
