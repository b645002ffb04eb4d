"""What ``tail`` tells of rules: a worker that has seen every event has every rule."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError
from eventstore.log.clock import from_microseconds
from projections.rules.loaded_report import LoadedReport, encode_report
from projections.rules.reporter import HEARTBEAT_SECONDS, Heartbeat
from projections.rules.rule_set import set_hash
from projections.rules.seen_rules import TYPES, SeenRules

if TYPE_CHECKING:
    from eventstore import Event, EventStore


class TailReporter:
    """Reports the rules as of the last event that ``tail`` has printed, as a named consumer's."""

    def __init__(self, store: EventStore, consumer: str, start: int) -> None:
        self._store = store
        self._consumer = consumer
        self._start = start
        self._seen = SeenRules()
        self._reading = True
        self._waiting: list[Event] = []
        self._position = start
        self._heartbeat = Heartbeat(self._tell, HEARTBEAT_SECONDS)

    async def begin(self) -> None:
        """Read the rules as of the start; where the log cannot tell them now, :meth:`run` does."""
        with suppress(EventStoreError):
            await self._seen.begin(self._store, self._start)
            self._reading = False

    def saw(self, event: Event) -> None:
        """Take note of an event that was printed."""
        self._position = event.position
        if event.type in TYPES:
            self._waiting.append(event)
            if not self._reading:
                self._apply()
            self._heartbeat.changed()

    def _apply(self) -> None:
        for event in self._waiting:
            self._seen.apply(event)
        self._waiting.clear()

    async def run(self) -> None:
        """Report until cancelled."""
        await self._heartbeat.run()

    async def _tell(self) -> None:
        if self._reading or self._seen.outdated:
            self._reading = True  # What is printed meanwhile waits.
            await self._seen.begin(self._store, self._seen.position or self._start)
            self._reading = False
            self._apply()
        position, now = self._position, from_microseconds(self._store.clock())
        rules = (await self._seen.intended(self._store, now)).rules
        report = LoadedReport(
            position,
            set_hash(rules),
            len(rules),
            engine="eventstore tail",
            version=version("ruletide"),
            process=self._store.owner,
        )
        await self._store.store_report(self._consumer, encode_report(report))
