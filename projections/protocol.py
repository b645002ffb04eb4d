"""What a followed projection is: a view that keeps its cursor together with its effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Cursor, Event


class ProjectionBusyError(EventStoreError):
    """Another runner owns this projection; two of them would undo each other's work."""

    def __init__(self, projection: str, owner: str) -> None:
        super().__init__(
            f"projection {projection!r} is already kept by {owner}: "
            "stop that one first, or give this one a place of its own"
        )
        self.projection = projection
        self.owner = owner


class OutdatedViewError(EventStoreError):
    """A view holds what was redacted since, and cannot take it out: it is computed again.

    ``projection`` is its name, ``position`` that of the redacted event. Runners take care of
    it; nothing was applied.
    """

    def __init__(self, projection: str, position: int) -> None:
        super().__init__(
            f"projection {projection!r} was computed from the event at position {position}, "
            "which was redacted: rebuild it"
        )
        self.projection = projection
        self.position = position


class Projection(Protocol):
    """A view computed from events, driven by :class:`~projections.runner.ProjectionRunner`.

    All methods are synchronous and are called from one thread at a time. Between ``open``
    and ``close`` the projection belongs to its runner alone. A view that comes out the same
    from the events that trimming keeps says so by an attribute ``from_snapshot = True``. One
    that was made by another version says so once it is open, by ``outdated = True``: it is
    then rebuilt.

    ``apply`` is all or nothing, cursor included: whatever kills the process, the view is
    afterwards at the old cursor or at the new one (a directory repeats idempotent writes
    until it is at the new one). Events come in whole commits, in order, each once.
    """

    name: str

    def open(self, log_id: str) -> Cursor | None:
        """Own the view; return how far it has come, ``None`` where it has seen nothing.

        Raises ProjectionBusyError where another runner owns it, and HistoryDivergedError
        where it was computed from another log than ``log_id``.
        """

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits and store ``cursor`` together with their effect.

        ``events`` may be empty: then only the cursor moves. Raises OutdatedViewError, and
        changes nothing, where only a rebuild takes redacted content out; never in a rebuild.
        """

    def begin_rebuild(self) -> None:
        """Start from nothing, in a place that readers do not see; ``apply`` goes there.

        A rebuild that was begun before, and not finished, is dropped.
        """

    def finish_rebuild(self) -> None:
        """Put what was rebuilt in the place of the view that has served until now."""

    def close(self) -> None:
        """Give the view up. An unfinished rebuild is dropped, the old view stays."""


class Healing(Protocol):
    """A projection that can find and mend what somebody changed behind its back."""

    def damaged(self) -> Sequence[int]:
        """Return the positions of the events whose effect is no longer as it should be.

        Cheap enough to be called every few seconds.
        """

    def mend(self, events: Sequence[Event]) -> None:
        """Bring back the effect of these events, those at the positions in ``damaged``."""
