"""Checking a log: every event, the chain that binds them, and the books kept beside them.

Pure computation over rows that somebody else reads. Nothing of what is read is trusted: in a
database that was tampered with, any value may be anything.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.errors import EventStoreError
from eventstore.log import hash_chain as chain
from eventstore.log.events import BYTES_CONTENT, JSON_CONTENT, Cursor
from eventstore.log.redaction import REDACTIONS, read_redaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eventstore.log.events import Event
    from eventstore.log.operations import Books, Head, StoredEvent

MAX_FINDINGS: Final = 1_000
"""Findings that are kept; the rest are counted."""

_STRANGE: Final = (
    TypeError, ValueError, AttributeError, struct.error, OverflowError, EventStoreError,
)  # fmt: skip
"""What computing with a value of another kind than it should have can raise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written: where (``position``, if it is an event), what."""

    position: int | None
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a verification has come to.

    ``cursor`` is the head that was reached: kept elsewhere, it is the anchor of a later one.
    ``events`` counts rows. ``more`` counts findings beyond those that are listed.
    """

    cursor: Cursor
    events: int
    findings: tuple[Finding, ...]
    more: int = 0

    @property
    def position(self) -> int:
        """The last position that was checked."""
        return self.cursor.position

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(slots=True)
class Findings:
    """A list that stays short, however much is wrong."""

    kept: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, position: int | None, where: str, what: str) -> None:
        """Keep a finding, or count it."""
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(Finding(position, where, what))
        else:
            self.more += 1

    def event(self, position: object, what: str) -> None:
        """Keep a finding about one event."""
        number = position if isinstance(position, int) else None
        self.add(number, f"event {position!r:.40}", what)


class Erased(NamedTuple):
    """An event without content, as far as its row still tells."""

    stream: str
    version: int
    type: str
    content: int


class Checker:
    """Takes a log's rows in order and finds what is not as it was written.

    ``head`` is where the reading began: it gives the identity and the first position.
    """

    def __init__(self, head: Head, anchor: Cursor | None = None) -> None:
        self.found = Findings()
        self.events = 0
        self.unread = 0
        """Rows of which it was found already that they cannot be read."""
        self._head = head
        self._anchor = anchor
        self._trimmed = head.first_position > 1
        base = head.base_hash if head.base_hash is not None else _genesis(head)
        self._links: tuple[bytes, ...] = (base,)
        self._position = head.first_position - 1
        self._recorded_us = 0
        self._commit: int | None = 0
        self._versions: dict[str, int] = {}
        self._doubtful: set[str] = set()
        self._missing = 0
        self._erased: dict[int, Erased] = {}
        self._redactions: dict[int, int] = {}
        self._check_anchor_before(base)

    @property
    def position(self) -> int:
        """The last position that was taken in."""
        return self._position

    @property
    def _certain(self) -> bool:
        """Whether the last event is what it was, so that its time is known."""
        known = self.events > 0 or not self._trimmed
        return known and bool(self._links) and self._commit is not None

    def take(self, rows: Iterable[StoredEvent]) -> None:
        """Check the next rows."""
        for row in rows:
            self.events += 1
            try:
                self._take(row)
            except _STRANGE as error:
                self.found.event(row.event.position, f"has a value of the wrong kind ({error})")
                self._lose(row.event)

    def skip(self, reason: str) -> None:
        """Pass over the next position, whose row cannot be read."""
        self._position += 1
        self.unread += 1
        self.found.event(self._position, f"cannot be read: {reason}")
        self._missing += 1
        self._links, self._commit = (), None

    def _take(self, row: StoredEvent) -> None:
        event = row.event
        place = event.position
        if place != self._position + 1:
            self._gap(place)
        wrong = _wrong_content(row)
        hashes = [_link(previous, row) for previous in self._links]
        if hashes and event.hash not in hashes:
            broken = "is not what was written, or not where it was written"
            self.found.event(place, wrong or broken)
            self._lose(event)
            # Either may be what the next one was linked to.
            self._links += tuple(hashes[:1])
        elif wrong:
            self.found.event(place, wrong)
            self._lose(event)
        else:
            self._follow(event)
            self._links = (event.hash,)
        self._position = place
        self._check_anchor(event)
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

    def _lose(self, event: Event) -> None:
        """Go on behind an event of which nothing is certain."""
        self._links = _links(event.hash)
        self._commit = None
        self._missing += 1
        if isinstance(event.position, int):
            self._position = event.position
        self._doubtful.add(event.stream)

    def _follow(self, event: Event) -> None:
        """Check what the chain alone does not say: that events follow from one another."""
        place, stream, say = event.position, event.stream, self.found.event
        known = self._versions.get(stream)
        if stream in self._doubtful or (known is None and self._trimmed):
            self._doubtful.discard(stream)
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
            self._erased[event.position] = _erased(event)
        elif event.stream == REDACTIONS and (redaction := read_redaction(event)) is not None:
            self._redactions[redaction.position] = event.position
            erased = self._erased.get(redaction.position)
            named = redaction.stream, redaction.version, redaction.type
            content = event.metadata.get("content", erased.content if erased is not None else None)
            if erased is not None and erased != (*named, content):
                self.found.event(redaction.position, "is not the one that was redacted")

    def take_kept(self, rows: Iterable[tuple[StoredEvent, bytes]]) -> int:
        """Check rows kept of a trimmed prefix, each with the hash before it; return the last."""
        last = 0
        for row, previous in rows:
            last = row.event.position
            try:
                wrong = _wrong_content(row)
                if wrong is None and _link(previous, row) != row.event.hash:
                    wrong = "is not what was written"
                if last >= self._head.first_position:
                    wrong = wrong or "is kept although the log itself still has it"
            except _STRANGE as error:
                wrong = f"has a value of the wrong kind ({error})"
            if wrong:
                self.found.add(last, f"kept event {last!r:.40}", wrong)
            else:
                self._note_content(row)
        return last

    def unsettled(self) -> list[int]:
        """Return positions that were redacted by an event, but had content when read."""
        first = self._head.first_position
        return [
            position
            for position in self._redactions
            if position not in self._erased and first <= position <= self._position
        ]

    def finish(self, head: Head, books: Books | None) -> Report:
        """Check head and books against the events, and say what was found."""
        self._check_head(head)
        if books is not None:
            self._check_streams(books.streams)
        for position in sorted(self._erased.keys() - self._redactions.keys()):
            self.found.event(position, "has no content, and no redaction says why")
        for where, what in books.faults if books is not None else ():
            self.found.add(None, where, what)
        if self._anchor is not None and self._anchor.position > head.position:
            self._refuse_anchor(f"the log ends at {head.position}: what came after is missing")
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
        if head.base_hash is not None and not self._trimmed and head.base_hash != _genesis(head):
            self.found.add(None, "head", "has a hash of events before the first one")

    def _check_streams(self, streams: Iterable[tuple[object, object, object]]) -> None:
        versions: Mapping[str, int] = self._versions
        seen: set[object] = set()
        for _, name, version in streams:
            where = f"stream {name!r:.200}"
            if name in seen:
                self.found.add(None, where, "is there twice")
            seen.add(name)
            actual = versions.get(name) if isinstance(name, str) else None
            if name in self._doubtful:
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

    def _check_anchor_before(self, base: bytes) -> None:
        anchor, head = self._anchor, self._head
        if anchor is None:
            return
        if anchor.log_id != head.log_id:
            self._refuse_anchor(f"is of log {anchor.log_id}, this is {head.log_id}")
        elif anchor.position < head.first_position - 1:
            self._refuse_anchor(f"the log begins at {head.first_position}: take a newer anchor")
        elif anchor.position == head.first_position - 1 and anchor.hash not in {
            base,
            head.base_hash or b"",
        }:
            self._refuse_anchor("the history before the first position is another one")

    def _check_anchor(self, event: Event) -> None:
        anchor = self._anchor
        if anchor is not None and anchor.position == event.position and anchor.hash != event.hash:
            self._refuse_anchor("another event is stored there: the history was rewritten")

    def _refuse_anchor(self, what: str) -> None:
        position = self._anchor.position if self._anchor else None
        self.found.add(position, f"anchor {position}", what)


def _links(digest: object) -> tuple[bytes, ...]:
    return (digest,) if isinstance(digest, bytes) else ()


def _genesis(head: Head) -> bytes:
    return chain.genesis(str(head.log_id))


def _link(previous: bytes, row: StoredEvent) -> bytes:
    event = row.event
    return chain.link(
        previous,
        event.position,
        event.version,
        event.commit,
        event.recorded_us,
        event.stream.encode(),
        event.type.encode(),
        event.raw_id,
        row.digest,
    )


def _wrong_content(row: StoredEvent) -> str | None:
    event, salt = row.event, row.salt
    data, metadata = event.raw_data, event.raw_metadata
    if not event.stream:
        return "names a stream that is not there"
    if data is None or metadata is None or salt is None:
        if not (data is None and metadata is None and salt is None):
            return "is redacted in part only"
        kinds = JSON_CONTENT, BYTES_CONTENT
        return None if event.content in kinds else "has content of no known kind"
    if chain.content_digest(salt, event.content, data, metadata) != row.digest:
        return "its content is not what was written"
    return None


def _erased(event: Event) -> Erased:
    return Erased(event.stream, event.version, event.type, event.content)
