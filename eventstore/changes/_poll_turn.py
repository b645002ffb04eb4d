"""Which of the subscriptions that wait at the head wakes for the next poll: one for all of them.

Its read serves the others too. Waking each of them at each poll costs in proportion to their
number, in a process where nothing happens.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

TRUST: Final = 15.0
"""Poll intervals after which a subscription looks by itself, without the turn."""


class PollTurn:
    """Those that wait, in the order in which they came; the first one has the turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, Callable[[], None]] = OrderedDict()

    def join(self, one: object, take_over: Callable[[], None]) -> None:
        """Wait with the others; ``take_over`` is called once it is ``one``'s turn."""
        self._waiting[one] = take_over

    def has(self, one: object) -> bool:
        """Whether it is ``one``'s turn."""
        return next(iter(self._waiting), None) is one

    def leave(self, one: object) -> None:
        """Wait no more, and hand the turn on."""
        had = self.has(one)
        self._waiting.pop(one, None)
        if had and self._waiting:
            next(iter(self._waiting.values()))()
