"""The newest events of a log in memory: whole commits, without a gap, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.log.events import Cursor
from eventstore.log.operations import Head, Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Event
    from eventstore.log.operations import Query

WINDOW_EVENTS: Final = 8_192
WINDOW_BYTES: Final = 16 * 1024 * 1024
"""Bounds of the window; a single commit may be larger."""

SLICE_EVENTS: Final = 128
"""Events given to a subscription at once: what one that stands still keeps in memory."""


class EventWindow:
    """The events after ``start``, up to ``head``.

    Both ends are ends of commits. A subscription takes events only where its cursor, hash
    included, is one of the window's own, so they are those that the log would give it.
    """

    def __init__(self) -> None:
        self.start: Cursor | None = None
        self.head: Head | None = None
        self.events: list[Event] = []
        self._size = 0

    @property
    def position(self) -> int:
        """The position of the window's end; -1 where there is no window."""
        return self.head.position if self.head is not None else -1

    def begin(self, head: Head) -> None:
        """Start an empty window at a head."""
        self.start, self.head = head.cursor, head
        self.events, self._size = [], 0

    def clear(self) -> None:
        """Forget the window."""
        self.start, self.head = None, None
        self.events, self._size = [], 0

    def take(self, query: Query) -> Page | None:
        """Return a slice after the query's cursor; ``None`` where that is not in the window."""
        cursor, start, head = query.expect, self.start, self.head
        if cursor is None or start is None or head is None or not self._holds(cursor, start):
            return None
        first = cursor.position - start.position
        some = self.events[first : first + SLICE_EVENTS]
        if query.whole_commits and some:
            end = some[-1].commit - start.position
            some += self.events[first + len(some) : end]
        matching = [event for event in some if query.matches(event)]
        through = Cursor(head.log_id, some[-1].position, some[-1].hash) if some else cursor
        ends = {event.position: event.hash for event in some if event.position == event.commit}
        return Page(matching, through, head, ends=ends if query.whole_commits else {})

    def _holds(self, cursor: Cursor, start: Cursor) -> bool:
        index = cursor.position - start.position
        if cursor.log_id != start.log_id or not 0 <= index <= len(self.events):
            return False
        return cursor.hash == (self.events[index - 1].hash if index else start.hash)

    def extend(self, events: Sequence[Event], head: Head, through: Cursor) -> None:
        """Add the events that follow the window's end, up to ``through``."""
        self.events += events
        self._size += sum(map(_size, events))
        self.head = Head(
            head.log_id, head.first_position, through.position, head.recorded_us, through.hash
        )
        self._shrink()

    def _shrink(self) -> None:
        """Drop whole commits from the front until the window is within its bounds."""
        drop = size = 0
        while len(self.events) - drop > WINDOW_EVENTS or self._size - size > WINDOW_BYTES:
            commit = self.events[drop].commit
            while drop < len(self.events) and self.events[drop].commit == commit:
                size += _size(self.events[drop])
                drop += 1
        if drop:
            last = self.events[drop - 1]
            assert self.start is not None  # noqa: S101 - there are events
            self.start = Cursor(self.start.log_id, last.position, last.hash)
            self._size -= size
            del self.events[:drop]


def _size(event: Event) -> int:
    return len(event.raw_data or b"") + len(event.raw_metadata or b"")
