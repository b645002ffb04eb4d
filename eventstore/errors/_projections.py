"""Errors of projections and of their tables."""

from __future__ import annotations

from eventstore.errors._root import ConfigError, EventStoreError


class ProjectionError(EventStoreError):
    """A projection could not apply an event; what it applied before stays applied.

    ``projection`` is its name, ``position`` the event's.
    """

    def __init__(self, projection: str, position: int, reason: str) -> None:
        super().__init__(f"projection {projection!r} stopped at position {position}: {reason}")
        self.projection = projection
        self.position = position
        self.reason = reason


class ProjectionVersionError(EventStoreError):
    """A projection's tables are of another version than this program computes.

    ``projection`` is its name, ``mine`` this program's version, ``stored`` that of the tables.
    Nothing was applied.
    """

    def __init__(self, projection: str, mine: int, stored: int) -> None:
        advice = (
            "run the newer program, or compute it again for this one (eventstore rebuild)"
            if stored > mine
            else "open the log again, so that it is computed anew"
        )
        super().__init__(
            f"projection {projection!r} is of version {stored}, this program computes version "
            f"{mine}: {advice}"
        )
        self.projection = projection
        self.mine = mine
        self.stored = stored


class ProjectionTableError(ConfigError):
    """A table that a projection declares is not its own, or is not as it was made.

    ``projection`` is its name, ``table`` the table's. Nothing was changed.
    """

    def __init__(self, projection: str, table: str, reason: str) -> None:
        super().__init__(f"table {table!r} of projection {projection!r} {reason}")
        self.projection = projection
        self.table = table
        self.reason = reason


class EventDataError(EventStoreError):
    """The data of an event do not fit the class that is declared for its type.

    ``type`` is the event's, ``stream`` and ``position`` say where it is, ``reason`` what does not
    fit.
    """

    def __init__(self, type_: str, stream: str, position: int, reason: str) -> None:
        super().__init__(
            f"the {type_!r} at position {position} of {stream!r} does not fit the class of its "
            f"type: {reason}. Lift older shapes with an upcaster, or give new fields a default"
        )
        self.type = type_
        self.stream = stream
        self.position = position
        self.reason = reason
