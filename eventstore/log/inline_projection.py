"""The protocol of a projection that is updated inside an append's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard, runtime_checkable

from eventstore.log.operations import TRIMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Cursor, Event


@runtime_checkable
class InlineProjection(Protocol):
    """A view that is updated inside the append's own transaction.

    ``connection`` is whatever the backend's transaction is made of (an SQLAlchemy
    ``Connection`` on the SQL backends). An exception fails the append that caused it.
    """

    name: str

    def setup(self, connection: Any) -> None:
        """Create what the view needs, if it is not there. Called at every open."""

    def cursor(self, connection: Any) -> Cursor | None:
        """Return how far the view has come, or ``None`` where it has seen nothing."""

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, in order, and store ``cursor`` with their effect.

        A view that holds content of an event which was redacted since (see
        :mod:`eventstore.log.redaction`), and cannot take it out, may instead go back to having
        seen nothing: where its ``cursor`` is then ``None``, it is given the log from the first
        event, in the same transaction.
        """


@runtime_checkable
class SnapshotProjection(InlineProjection, Protocol):
    """A view that may begin with what trimming has kept, because it says so."""

    from_snapshot: bool
    """Whether the events that trimming keeps, and those since, give the same view."""

    def reset(self, connection: Any) -> None:
        """Empty the view, as if no event had been applied."""


def can_start_from_kept(projection: InlineProjection) -> TypeGuard[SnapshotProjection]:
    """Whether a view can be computed from what trimming has kept and the rest of the log."""
    return isinstance(projection, SnapshotProjection) and projection.from_snapshot


def archive_advice(view: str) -> str:
    """Say what brings back a view that needs events which were trimmed."""
    return (
        f"view {view!r} needs them: import the archives that the stream {TRIMS!r} names into "
        "new logs, compute the view from those in turn, and go on here"
    )
