"""Whether records make one unbroken log: positions, commits, digests and chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.log import hash_chain as chain

if TYPE_CHECKING:
    from eventstore.log.records import EventRecord, KeptRecord, LogRecord


class Continuity:
    """Checks a log's events as they pass, in order; every method raises ValueError."""

    def __init__(self, log: LogRecord) -> None:
        begins = log.base_hash if log.first_position > 1 else chain.genesis(log.log_id)
        contradicts = log.position < log.first_position - 1 or begins is None
        if log.first_position < 1 or contradicts or log.base_hash not in (None, begins):
            raise ValueError("its first and last positions contradict each other")
        self._log = log
        self._position = log.first_position - 1
        self._commit = self._position
        self._hash = begins or b""
        self._recorded_us = 0 if log.first_position == 1 else None

    def check(self, event: EventRecord) -> None:
        """Check the next event."""
        if event.position != self._position + 1:
            raise ValueError(f"event {event.position} comes after {self._position}")
        same = event.commit == self._commit
        if event.commit < event.position or same != (self._position < self._commit):
            raise ValueError(f"event {event.position} does not belong to commit {event.commit}")
        check_event(event, self._hash)
        if event.recorded_us < (self._recorded_us or 0):
            raise ValueError(f"event {event.position} was recorded before the one before it")
        self._recorded_us = event.recorded_us
        self._position, self._commit, self._hash = event.position, event.commit, event.hash

    def finish(self) -> None:
        """Check that nothing is missing at the end."""
        if self._position != self._log.position or self._commit != self._position:
            raise ValueError(f"it ends at {self._position}, not at {self._log.position}")
        if self._hash != self._log.hash:
            raise ValueError(f"the hash at {self._position} is not the log's")
        if self._recorded_us not in (None, self._log.recorded_us):
            raise ValueError(f"the time at {self._position} is not the log's")


def check_event(event: EventRecord | KeptRecord, previous: bytes) -> None:
    """Check an event's digest and its link to the hash before it; raise ValueError."""
    fault = chain.content_fault(event.salt, event.content, event.data, event.metadata, event.digest)
    if fault is not None:
        raise ValueError(f"event {event.position}: {fault}")
    link = chain.link_after(previous, event, event.id, event.digest)
    if link != event.hash:
        raise ValueError(f"event {event.position} does not belong after the one before it")
