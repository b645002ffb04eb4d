"""Where the head was during the last hour, and how far the slowest consumer was behind.

Each server process keeps this in memory. The head is the newest that the process knows of, which it
reads for those that follow; the lag is one small read each time. It begins with the process.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from eventstore.errors import EventStoreError
from eventstore.store.status import SEARCHED_CONSUMERS

if TYPE_CHECKING:
    from eventstore.store.event_store import EventStore

STEP: Final = 10
"""Seconds between two samples."""

KEPT: Final = 3_600 // STEP + 1
"""Samples that are kept: those of an hour."""


class Sample(NamedTuple):
    """The head at a time, and the events that the slowest consumer lacks; None without one."""

    at_us: int
    position: int
    lag: int | None


class LastHour:
    """The samples of one server process, oldest first."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self.began_us = store.clock()
        self.samples: deque[Sample] = deque(maxlen=KEPT)

    async def follow(self) -> None:
        """Take a sample again and again, until cancelled."""
        while True:
            await self.take()
            await anyio.sleep(STEP)

    async def take(self) -> None:
        """Take one sample; without a lag where consumers cannot be read."""
        log = self._store.feed.log
        lag = None
        try:
            slowest = (await log.slowest_consumers(1, SEARCHED_CONSUMERS)).states
        except EventStoreError:
            slowest = []
        position = log.newest.position
        if slowest:
            lag = max(0, position - slowest[0].cursor.position)
        self.samples.append(Sample(self._store.clock(), position, lag))
