"""What every revert shares: its error, and what its events say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from eventstore.log.events import JSON


class RevertError(EventStoreError):
    """Something cannot be reverted; nothing was changed. ``target`` is what it is about."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(f"{target} cannot be reverted: {reason}")
        self.target, self.reason = target, reason


def revert_metadata(to: int, by: str, reason: str) -> dict[str, JSON]:
    """Return the metadata of the events of a revert to a position."""
    metadata: dict[str, Any] = {"by": by, "reverted_to": to}
    return metadata | {"reason": reason} if reason else metadata
