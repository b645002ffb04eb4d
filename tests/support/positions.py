"""A projection in memory that shows what it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Cursor, Event


class Positions:
    """A projection in memory: the positions it was given, and its cursor."""

    name = "positions"

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.batches: list[list[int]] = []
        self.cursor: Cursor | None = None
        self.opened = self.closed = 0
        self.fail_at = 0
        self._new: Positions | None = None

    def open(self, log_id: str) -> Cursor | None:
        """Own the projection."""
        self.opened += 1
        return self.cursor

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Remember the positions."""
        if self._new is not None:
            self._new.apply(events, cursor)
            return
        positions = [event.position for event in events]
        if self.fail_at in positions:
            raise ZeroDivisionError
        self.seen += positions
        self.batches.append(positions)
        self.cursor = cursor

    def begin_rebuild(self) -> None:
        """Start from nothing, unseen."""
        self._new = Positions()

    def finish_rebuild(self) -> None:
        """Show what was rebuilt."""
        assert self._new is not None
        self.seen, self.cursor, self._new = self._new.seen, self._new.cursor, None

    def close(self) -> None:
        """Give the projection up."""
        self.closed += 1
        self._new = None
