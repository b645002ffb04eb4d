"""Which events of a subscription are done, where they may be done in any order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from eventstore.errors import InvalidInputError

if TYPE_CHECKING:
    from eventstore.log.events import Cursor, Event


class AckWindow:
    """The cursors that were given out, from the oldest that is not done.

    :attr:`reached` is the last cursor up to which everything is done: what a checkpoint may say.
    """

    def __init__(self) -> None:
        self.reached: Cursor | None = None
        self._cursors: deque[Cursor] = deque()
        self._open: set[int] = set()
        self._newest = 0

    def give(self, cursor: Cursor) -> None:
        """Note an event, or a commit, that was given out."""
        self._cursors.append(cursor)
        self._open.add(cursor.position)
        self._newest = cursor.position

    def pass_over(self, cursor: Cursor) -> None:
        """Note that nothing matches between the last event given out and ``cursor``."""
        if self._cursors and self._cursors[-1].position not in self._open:
            self._cursors.pop()  # The new cursor says the same of more events.
        self._cursors.append(cursor)
        self._advance()

    def mark_done(self, one: Event | Cursor) -> None:
        """Mark one event, or the commit that ends at a cursor, as done; again changes nothing.

        Raises InvalidInputError for one that the subscription has not come to.
        """
        if one.position > self._newest:
            reason = f"this subscription has come to {self._newest} only"
            raise InvalidInputError(f"ack of the event at {one.position}", reason)
        self._open.discard(one.position)
        self._advance()

    def mark_all_done(self) -> None:
        """Mark everything that was given out as done."""
        self._open.clear()
        self._advance()

    def _advance(self) -> None:
        while self._cursors and self._cursors[0].position not in self._open:
            self.reached = self._cursors.popleft()
