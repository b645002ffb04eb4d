"""Checking a log: every event, the chain that binds them, and the tables kept beside them.

Pure computation over rows that :mod:`eventstore.integrity.verify` reads. Nothing of what is read
is trusted: in a database that was tampered with, any value may be anything.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from eventstore.errors import EventStoreError
from eventstore.integrity._anchor import AnchorCheck
from eventstore.integrity._rows import (
    Erased,
    genesis_of,
    known_links,
    link_of,
    wrong_content,
)
from eventstore.integrity.findings import Findings, Report
from eventstore.log.events import Cursor
from eventstore.log.records import EventRecord, StreamRecord
from eventstore.log.redaction import REDACTIONS, read_redaction
from eventstore.log.stored_values import event_faults, head_faults, stream_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventstore.log.events import Event
    from eventstore.log.operations import Head, SideTables, StoredEvent

_WRONG_TYPE: Final = (
    TypeError, ValueError, AttributeError, struct.error, OverflowError, EventStoreError,
)  # fmt: skip
"""What computing with a value of another kind than it should have can raise."""


class Checker:
    """Checks a log's rows in order and collects what is not as it was written.

    ``head`` is the head when the reading began: it has the log's id and its first position.
    ``redactions`` are those of the log that this one is an archive of: what they name may be
    without content, though the log ended before them.
    """

    def __init__(
        self, head: Head, anchor: Cursor | None = None, redactions: Iterable[Event] = ()
    ) -> None:
        self.found = Findings()
        self.events = 0
        self.unread = 0
        """Number of rows that could not be read."""
        self._head = head
        self._anchor = AnchorCheck(anchor, self.found)
        self._trimmed = head.first_position > 1
        base = head.base_hash if head.base_hash is not None else genesis_of(head)
        self._links: tuple[bytes, ...] = (base,)
        self._position = head.first_position - 1
        self._recorded_us = 0
        self._commit: int | None = 0
        self._versions: dict[str, int] = {}
        self._uncertain: set[str] = set()
        self._missing = 0
        self._erased: dict[int, Erased] = {}
        self._redactions: dict[int, int] = {}
        self._later = {
            found.position: (event, found)
            for event in redactions
            if event.position > head.position and (found := read_redaction(event)) is not None
        }
        self._anchor.check_start(head, base)
        for fault in head_faults(head):
            self.found.add(None, "head", str(fault))

    @property
    def position(self) -> int:
        """The last position that was checked."""
        return self._position

    @property
    def _certain(self) -> bool:
        """Whether the last event is as it was written, so that its time is known."""
        known = self.events > 0 or not self._trimmed
        return known and bool(self._links) and self._commit is not None

    def check_rows(self, rows: Iterable[StoredEvent]) -> None:
        """Check the next rows."""
        for row in rows:
            self.events += 1
            try:
                self._check_row(row)
            except _WRONG_TYPE as error:
                self.found.event(row.event.position, f"has a value of the wrong kind ({error})")
                self._skip_uncertain(row.event)

    def skip(self, reason: str) -> None:
        """Skip the next position, whose row cannot be read."""
        self._position += 1
        self.unread += 1
        self.found.event(self._position, f"cannot be read: {reason}")
        self._missing += 1
        self._links, self._commit = (), None

    def _check_row(self, row: StoredEvent) -> None:
        event = row.event
        place = event.position
        if place != self._position + 1:
            self._gap(place)
        wrong = wrong_content(row)
        hashes = [link_of(previous, row) for previous in self._links]
        if hashes and event.hash not in hashes:
            broken = "is not what was written, or not where it was written"
            self.found.event(place, wrong or broken)
            self._skip_uncertain(event)
            # The next row may be linked to either hash.
            self._links += tuple(hashes[:1])
        elif wrong:
            self.found.event(place, wrong)
            self._skip_uncertain(event)
        else:
            self._check_order(event)
            self._links = (event.hash,)
            # A value that no append stores, bound into the chain by a stranger.
            for fault in event_faults(EventRecord.of(row)):
                if fault.field != "position":  # What is wrong with it has been said.
                    self.found.event(place, str(fault))
        self._position = place
        self._anchor.check_event(event)
        self._note_content(row)

    def _gap(self, place: int) -> None:
        expected = self._position + 1
        if place < expected:
            self.found.event(place, "lies before the first position, or comes twice")
        else:
            lost = f"{expected}" if place == expected + 1 else f"{expected} to {place - 1}"
            self.found.add(expected, f"event {lost}", "is missing")
            self._missing += place - expected
        self._links, self._commit = (), None

    def _skip_uncertain(self, event: Event) -> None:
        """Continue after an event that is not as it was written."""
        self._links = known_links(event.hash)
        self._commit = None
        self._missing += 1
        if isinstance(event.position, int):
            self._position = event.position
        self._uncertain.add(event.stream)

    def _check_order(self, event: Event) -> None:
        """Check what the chain does not cover: versions, times and commits follow in order."""
        place, stream, say = event.position, event.stream, self.found.event
        known = self._versions.get(stream)
        if stream in self._uncertain or (known is None and self._trimmed):
            self._uncertain.discard(stream)
        elif (skipped := event.version - (known or 0) - 1) != 0:
            if 0 < skipped <= self._missing:
                self._missing -= skipped
            else:
                say(place, f"is version {event.version} of {stream!r} after {known or 0}")
        self._versions[stream] = event.version
        if event.recorded_us < self._recorded_us:
            say(place, "was recorded before the one before it")
        self._recorded_us = event.recorded_us
        if self._commit and event.commit != self._commit:
            say(place, f"stands within commit {self._commit} but belongs to {event.commit}")
        elif event.commit < place:
            say(place, f"belongs to commit {event.commit}, which ends before it")
        self._commit = event.commit if event.commit > place else 0

    def _note_content(self, row: StoredEvent) -> None:
        event = row.event
        if event.raw_data is None:
            self._erased[event.position] = Erased.of(event)
        elif event.stream == REDACTIONS and (redaction := read_redaction(event)) is not None:
            self._redactions[redaction.position] = event.position
            erased = self._erased.get(redaction.position)
            if erased is not None and erased != Erased.named_by(event, redaction, erased.content):
                self.found.event(redaction.position, "is not the one that was redacted")

    def check_kept(self, rows: Iterable[tuple[StoredEvent, bytes]]) -> int:
        """Check rows kept of a trimmed prefix, each with the hash before it; return the last."""
        last = 0
        for row, previous in rows:
            last = row.event.position
            try:
                wrong = wrong_content(row)
                if wrong is None and link_of(previous, row) != row.event.hash:
                    wrong = "is not what was written"
                for fault in event_faults(EventRecord.of(row)) if wrong is None else ():
                    self.found.add(last, f"kept event {last!r:.40}", str(fault))
                if last >= self._head.first_position:
                    wrong = wrong or "is kept although the log itself still has it"
            except _WRONG_TYPE as error:
                wrong = f"has a value of the wrong kind ({error})"
            if wrong:
                self.found.add(last, f"kept event {last!r:.40}", wrong)
            else:
                self._note_content(row)
        return last

    def redacted_with_content(self) -> list[int]:
        """Return positions that were redacted by an event, but had content when read."""
        first = self._head.first_position
        return [
            position
            for position in self._redactions
            if position not in self._erased and first <= position <= self._position
        ]

    def finish(self, head: Head, side_tables: SideTables | None) -> Report:
        """Check head and side tables against the events, and say what was found."""
        self._check_head(head)
        if side_tables is not None:
            self._check_streams(side_tables.streams)
        for position in sorted(self._erased.keys() - self._redactions.keys()):
            erased = self._erased[position]
            if position not in self._later:
                self.found.event(position, "has no content, and no redaction says why")
            elif erased != Erased.named_by(*self._later[position], erased.content):
                self.found.event(position, "is not the one that was redacted")
        for where, what in side_tables.faults if side_tables is not None else ():
            self.found.add(None, where, what)
        self._anchor.check_end(head)
        cursor = Cursor(head.log_id, self._position, self._links[0] if self._links else b"")
        return Report(cursor, self.events, tuple(self.found.kept), self.found.more)

    def _check_head(self, head: Head) -> None:
        if self._commit:
            self.found.add(None, "head", f"the log ends within commit {self._commit}")
        if head.position != self._position:
            what = f"says that the log ends at {head.position}, the last event is {self._position}"
            self.found.add(None, "head", what)
            if isinstance(head.position, int):
                self._missing += max(0, head.position - self._position)
        elif self._links and head.hash not in self._links:
            self.found.add(None, "head", "its hash is not that of the last event")
        elif self._certain and self._recorded_us != head.recorded_us:
            self.found.add(None, "head", "its time is not that of the last event")
        if head.base_hash is not None and not self._trimmed and head.base_hash != genesis_of(head):
            self.found.add(None, "head", "has a hash of events before the first one")

    def _check_name(self, where: str, name: str) -> None:
        """Check a stream's name, unless its events have shown what is wrong with it."""
        for fault in stream_faults(StreamRecord(name, 1)) if name not in self._versions else ():
            self.found.add(None, where, str(fault))

    def _check_streams(self, streams: Iterable[tuple[object, object, object]]) -> None:
        versions: Mapping[str, int] = self._versions
        seen: set[object] = set()
        for _, name, version in streams:
            where = f"stream {name!r:.200}"
            if name in seen:
                self.found.add(None, where, "is there twice")
            seen.add(name)
            if isinstance(name, str):
                self._check_name(where, name)
            actual = versions.get(name) if isinstance(name, str) else None
            if name in self._uncertain:
                continue
            if actual is None:
                if not self._trimmed and not self._missing:
                    self.found.add(None, where, "has no events")
            elif version != actual:
                behind = version - actual if isinstance(version, int) else -1
                if not 0 < behind <= self._missing:
                    what = f"says version {version!r:.40}, its last event is {actual}"
                    self.found.add(None, where, what)
        for name in sorted(versions.keys() - seen):
            self.found.add(None, f"stream {name!r:.200}", "has events, but is not in the table")
