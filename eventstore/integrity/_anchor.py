"""Comparing a log with a cursor that was kept elsewhere: its history may not differ from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore.integrity.findings import Findings
    from eventstore.log.events import Cursor, Event
    from eventstore.log.operations import Head


class AnchorCheck:
    """Adds a finding where the log does not contain ``anchor``; none without an anchor."""

    def __init__(self, anchor: Cursor | None, found: Findings) -> None:
        self._anchor = anchor
        self._found = found

    def check_start(self, head: Head, base: bytes) -> None:
        """Compare the log's identity and the hash ``base`` before its first position."""
        anchor = self._anchor
        if anchor is None:
            return
        if anchor.log_id != head.log_id:
            self._refuse(f"is of log {anchor.log_id}, this is {head.log_id}")
        elif anchor.position < head.first_position - 1:
            self._refuse(f"the log begins at {head.first_position}: take a newer anchor")
        elif anchor.position == head.first_position - 1 and anchor.hash not in {
            base,
            head.base_hash or b"",
        }:
            self._refuse("the history before the first position is another one")

    def check_event(self, event: Event) -> None:
        """Compare the event at the anchor's position."""
        anchor = self._anchor
        if anchor is not None and anchor.position == event.position and anchor.hash != event.hash:
            self._refuse("another event is stored there: the history was rewritten")

    def check_end(self, head: Head) -> None:
        """Compare the end of the log."""
        if self._anchor is not None and self._anchor.position > head.position:
            self._refuse(f"the log ends at {head.position}: what came after is missing")

    def _refuse(self, what: str) -> None:
        position = self._anchor.position if self._anchor else None
        self._found.add(position, f"anchor {position}", what)
