"""Errors of projections and of their tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors._root import ConfigError, EventStoreError
from eventstore.errors._storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ProjectionError(EventStoreError):
    """A projection could not apply an event; what it applied before stays applied.

    ``projection`` is its name, ``position`` the event's.
    """

    def __init__(self, projection: str, position: int, reason: str) -> None:
        super().__init__(f"projection {projection!r} stopped at position {position}: {reason}")
        self.projection, self.position, self.reason = projection, position, reason


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
        self.projection, self.mine, self.stored = projection, mine, stored


class ProjectionTableError(ConfigError):
    """A table that a projection declares is not its own, or is not as it was made.

    ``projection`` is its name, ``table`` the table's. Nothing was changed.
    """

    def __init__(self, projection: str, table: str, reason: str) -> None:
        super().__init__(f"table {table!r} of projection {projection!r} {reason}")
        self.projection, self.table, self.reason = projection, table, reason


class ProjectionGoneError(EventStoreError):
    """A projection has no checkpoint any more: it was dropped while a program keeps it.

    ``projection`` is its name. Nothing was applied; a store and a runner
    begin it anew by themselves.
    """

    def __init__(self, projection: str) -> None:
        super().__init__(
            f"projection {projection!r} has no checkpoint: it was dropped while this program keeps "
            "it, and is computed from the first event where the program writes or opens it next"
        )
        self.projection = projection


class ProjectionHeldError(StorageError):
    """Other sessions hold a projection's tables, so that they cannot be replaced or removed.

    ``projection`` is its name, ``seconds`` how long it was waited for, ``pids`` are the server's
    processes that hold them, as far as known. Nothing was changed. ``timed_out`` is True.
    """

    def __init__(self, projection: str, seconds: float, pids: Sequence[int] = ()) -> None:
        holders = f"process {', '.join(map(str, pids))} of the server" if pids else "other sessions"
        super().__init__(
            f"projection {projection!r}",
            f"its tables were held by {holders} for {seconds:.1f} s, and nothing was changed: let "
            "the transactions end that read them (pg_stat_activity shows which, and "
            "pg_terminate_backend ends one), and try again",
            timed_out=True,
        )
        self.projection, self.seconds = projection, seconds
        self.pids = tuple(pids)


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
        self.stream, self.position, self.reason = stream, position, reason
