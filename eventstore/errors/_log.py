"""Errors of a log: its streams, its history, its events, its copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors._root import EventStoreError

if TYPE_CHECKING:
    from collections.abc import Sequence


class ConflictError(EventStoreError):
    """A stream was not at the version that the append expected; nothing was stored.

    ``expected`` is what the caller asked for, as a version or as ``"STREAM_EXISTS"``;
    ``actual`` is the stream's version, 0 where there is no such stream.
    """

    def __init__(self, stream: str, expected: int | str, actual: int) -> None:
        super().__init__(
            f"stream {stream!r} is at version {actual}, not {expected}: "
            "read it again and decide on what it says now"
        )
        self.stream, self.expected, self.actual = stream, expected, actual


class DuplicateEventError(EventStoreError):
    """Some ids of an append are stored already, but not by one earlier, equal call.

    Nothing was stored. ``ids`` are those that are stored, ``positions`` their events'.
    """

    def __init__(self, ids: Sequence[str], positions: Sequence[int], reason: str) -> None:
        super().__init__(
            f"{len(ids)} event id(s) already stored, first {ids[0]} at position "
            f"{positions[0]}: {reason}; give new facts new ids"
        )
        self.ids = tuple(ids)
        self.positions = tuple(positions)


class HistoryDivergedError(EventStoreError):
    """A cursor does not belong to this log: the log was recreated, restored or failed over.

    ``position`` is the cursor's, ``head`` the last position of the log as it is now.
    """

    def __init__(self, position: int, head: int, reason: str) -> None:
        super().__init__(
            f"position {position} does not belong to this log (its head is {head}): {reason}; "
            "rebuild what follows from position 0, or bring back the log it was made from"
        )
        self.position, self.head = position, head


class HistoryGoneError(EventStoreError):
    """A read asked for events that were trimmed; ``first_position`` is the oldest kept."""

    def __init__(self, after: int, first_position: int, advice: str = "") -> None:
        advice = advice or (
            f"start with after={first_position - 1}, or give kept=True to begin with what "
            "trimming has kept"
        )
        super().__init__(
            f"events after {after} are asked for, but the log starts at {first_position}: {advice}"
        )
        self.after, self.first_position = after, first_position


class HistoryHeldError(EventStoreError):
    """A trim would remove events that a named consumer has not done; nothing was trimmed.

    ``consumer`` is the slowest one, ``position`` how far it has come. With ``projection`` it is
    a projection of that name, which another program keeps: in the log's database, or in ``place``.
    """

    def __init__(
        self,
        consumer: str,
        position: int,
        last: int,
        *,
        projection: bool = False,
        place: str = "",
    ) -> None:
        advice = "remove the consumer if it is gone for good (eventstore consumers remove)"
        if projection:
            advice = "run the program that keeps the projection first, which brings it up"
        if place:
            advice += f"; if it is gone for good: eventstore views drop {consumer} --forget"
        kind = "projection" if projection else "consumer"
        where = f" in {place}" if place else ""
        super().__init__(
            f"{kind} {consumer!r}{where} is at position {position} and has not seen "
            f"the events up to {last}: trim before {position + 1} at most, force it (--force), or "
            f"{advice}"
        )
        self.consumer, self.position, self.place = consumer, position, place


class ViewNotKeptError(EventStoreError):
    """A trim would leave a view that cannot be computed again; nothing was trimmed.

    ``view`` is its name: a projection in the log's database or, as its runner has told the log, in
    another one, a fold with a snapshot, or one that an installed package offers to rebuild.
    """

    def __init__(self, view: str, reason: str = "nothing says which events it needs") -> None:
        super().__init__(
            f"view {view!r} could not be computed again after the trim, for {reason}: declare what "
            f"it needs, by a Keeper in its package's manifest or by keep= with serving({view!r}), "
            f"or have it computed from the archives only (--forgo-rebuild {view}, forgo_rebuild=)"
        )
        self.view = view


class NoLogError(EventStoreError):
    """There is no log to open, and none was to be created; ``where`` is a path or a URL."""

    def __init__(self, where: str, reason: str = "") -> None:
        super().__init__(f"no log at {where}{reason and ': '}{reason}")
        self.where = where


class ArchiveError(EventStoreError):
    """An export cannot be read: it is truncated, altered, or no export at all.

    ``where`` names it, ``offset`` is the byte at which the fault was found: that of the chunk of
    records, ``None`` where the fault is in no one place, such as a version that is missing.
    """

    def __init__(self, where: str, offset: int | None, reason: str) -> None:
        place = where if offset is None else f"{where}, byte {offset:,}"
        super().__init__(f"{place}: {reason}; nothing of it was taken over")
        self.where, self.offset, self.reason = where, offset, reason


class NotEmptyError(EventStoreError):
    """The target to be filled is not empty; ``where`` names it. Nothing was changed."""

    def __init__(self, where: str, found: str, advice: str) -> None:
        super().__init__(f"{where} {found}: {advice}")
        self.where, self.found = where, found


class UpcastError(EventStoreError):
    """An upcaster failed on an event, or returned what no event can hold.

    ``function`` names it, ``position`` and ``type`` are the event's, the type as it was
    handed to the function. The stored event is as it was.
    """

    def __init__(self, function: str, position: int, type: str, reason: str) -> None:  # noqa: A002
        super().__init__(
            f"upcaster {function} cannot lift the event of type {type!r} at position {position}: "
            f"{reason}; mend the function, the log is as it was"
        )
        self.function, self.position, self.type, self.reason = function, position, type, reason
