"""Errors about moments: what a position, a time, a tag or a commit of git may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence


class MomentError(EventStoreError):
    """A moment cannot be found in the log; ``moment`` is as it was given."""

    def __init__(self, moment: str, reason: str) -> None:
        super().__init__(f"moment {moment!r:.200}: {reason}")
        self.moment, self.reason = moment, reason


class UnknownMomentError(MomentError):
    """A moment names nothing that the log knows: no tag, no commit of git that was synced."""


class AmbiguousMomentError(MomentError):
    """A moment may mean several things; ``candidates`` are as they can be given instead."""

    def __init__(self, moment: str, candidates: Sequence[str]) -> None:
        shown = ", ".join(candidates[:SHOWN])
        more = f" and {len(candidates) - SHOWN} more" if len(candidates) > SHOWN else ""
        super().__init__(moment, f"may mean {shown}{more}: give one of them")
        self.candidates = tuple(candidates)


class FutureMomentError(MomentError):
    """A moment lies after the end of the log; ``head`` is its last position."""

    def __init__(self, moment: str, head: int) -> None:
        reason = f"is beyond the head, which is {head}: give an earlier position or time"
        super().__init__(moment, reason)
        self.head = head


SHOWN = 10
"""Candidates that a message names."""
