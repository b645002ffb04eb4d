"""The protocol of a projection that a runner drives: it stores its cursor with its effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from eventstore.errors import ConfigError, EventStoreError
from eventstore.log.projection_checks import check_projection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.events import Cursor, Event


class ProjectionBusyError(EventStoreError):
    """Another runner owns this projection; two of them would undo each other's work."""

    def __init__(self, projection: str, owner: str) -> None:
        super().__init__(
            f"projection {projection!r} is already kept by {owner}: "
            "stop that one first, or give this one another place"
        )
        self.projection, self.owner = projection, owner


class OutdatedViewError(EventStoreError):
    """A projection holds redacted content that only a rebuild removes.

    ``projection`` is its name, ``position`` that of the redacted event. Nothing was applied.
    Runners handle it: they rebuild.
    """

    def __init__(self, projection: str, position: int, what: str = "was redacted") -> None:
        super().__init__(
            f"projection {projection!r} was computed from the event at position {position}, "
            f"which {what}: rebuild it"
        )
        self.projection, self.position = projection, position


class Projection(Protocol):
    """State computed from events, driven by :class:`~projections.runner.ProjectionRunner`.

    All methods are synchronous and are called from one thread at a time. Between ``open``
    and ``close`` the projection belongs to its runner alone. A projection that is the same
    when computed from the events that trimming keeps has an attribute ``from_snapshot = True``.
    One that was made by an older version has ``outdated = True`` once it is open, and is then
    rebuilt. One that refuses what a newer version has made, with ProjectionVersionError, has an
    attribute ``replace_newer``, which is true while a runner opens it in order to rebuild it. An
    attribute ``batch_events`` is how many events a runner gives it at once while it catches up,
    where that is more than usual. An attribute ``place`` is what ``status`` calls the directory or
    the database, without a password. With ``one_writer = True`` a runner writes one projection at
    a time to a place. A function ``event_filter`` of the log and the projection's name gives the
    :class:`EventFilter` that each ``apply`` comes after.

    ``apply`` is all or nothing, cursor included: after a kill the projection is at the old
    cursor or at the new one (a directory repeats idempotent writes until it is at the new
    one). Events come in whole commits, in order, each once.
    """

    name: str

    def open(self, log_id: str) -> Cursor | None:
        """Own the projection; return its checkpoint, ``None`` before the first event.

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
        """Replace what readers see by what was rebuilt."""

    def close(self) -> None:
        """Release the projection. An unfinished rebuild is dropped, and readers see no change."""


class EventFilter(Protocol):
    """What the events of a log mean to a projection that looks at more of the log than them."""

    async def in_force(self, events: Sequence[Event], rebuilding: int | None) -> Sequence[Event]:
        """Return the events to apply instead of these, in the order of the log.

        ``rebuilding`` is the position up to which the projection is being rebuilt, else None.
        Raises OutdatedViewError where only a rebuild can give them, never in one.
        """


class Healing(Protocol):
    """A projection that can find and repair what another program changed."""

    def damaged(self) -> Sequence[int]:
        """Return the positions of the events whose effect was changed or removed.

        Cheap enough to be called every few seconds.
        """

    def mend(self, events: Sequence[Event]) -> None:
        """Restore the effect of these events, those at the positions in ``damaged``."""


class Journalled(Protocol):
    """A projection that keeps what it publishes in a journal for a while."""

    @property
    def has_journal(self) -> bool:
        """Whether there is anything for ``compact`` to do."""

    def compact(self) -> None:
        """Write whole what the journal continues. A runner calls it a second after a commit."""


class Reopening(Protocol):
    """A projection that a runner opens again after a failure."""

    def reopen(self, log_id: str) -> Cursor | None:
        """Do what ``open`` does; raise TakenOverError where another runner opened it meanwhile."""


RUNNER_METHODS: Final = ("open", "apply", "begin_rebuild", "finish_rebuild", "close")


def check_runnable(projection: object) -> None:
    """Raise ConfigError for a projection that no runner can drive."""
    if not isinstance(projection, type) and not hasattr(projection, "open"):
        kind = type(projection).__name__
        if hasattr(projection, "at"):
            raise ConfigError(f"{kind} names no database: give the runner projection.at(url)")
    check_projection(projection, RUNNER_METHODS, "a ProjectionRunner")
    if (check := getattr(projection, "check_declaration", None)) is not None:
        check()
