"""Every error that this package raises on purpose: one root, typed fields.

Each message says what happened, where, and what to do about it. Errors of drivers and
libraries are translated into these where they occur and chained with ``raise … from``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.picklable import PicklableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class EventStoreError(PicklableError):
    """Root of every error raised by ``eventstore`` and ``projections``."""


class ConfigError(EventStoreError, ValueError):
    """A setting, URL or environment variable cannot be used as given."""


class InvalidInputError(EventStoreError, ValueError):
    """A name, event or argument was refused before anything was queued.

    ``what`` names the thing that was refused, ``reason`` says why.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


class LimitExceededError(InvalidInputError):
    """Something is larger than :mod:`eventstore.limits` allows."""

    def __init__(self, what: str, actual: int, limit: int) -> None:
        super().__init__(what, f"{actual:,} is over the limit of {limit:,}")
        self.actual = actual
        self.limit = limit


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
        self.stream = stream
        self.expected = expected
        self.actual = actual


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
        self.position = position
        self.head = head


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
        self.after = after
        self.first_position = first_position


class HistoryHeldError(EventStoreError):
    """A trim would remove events that a named consumer has not done; nothing was trimmed.

    ``consumer`` is the slowest one, ``position`` how far it has come. With ``projection`` it is
    a projection of that name in the log's database, which another program keeps.
    """

    def __init__(
        self, consumer: str, position: int, last: int, *, projection: bool = False
    ) -> None:
        advice = (
            "run the program that keeps the projection first, which brings it up"
            if projection
            else "remove the consumer if it is gone for good (eventstore consumers remove)"
        )
        super().__init__(
            f"{'projection' if projection else 'consumer'} {consumer!r} is at position {position} "
            f"and has not seen the events up to {last}: trim before {position + 1} at most, "
            f"force it (--force), or {advice}"
        )
        self.consumer = consumer
        self.position = position


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
        self.where = where
        self.offset = offset
        self.reason = reason


class NotEmptyError(EventStoreError):
    """The target to be filled is not empty; ``where`` names it. Nothing was changed."""

    def __init__(self, where: str, found: str, advice: str) -> None:
        super().__init__(f"{where} {found}: {advice}")
        self.where = where
        self.found = found


class TakenOverError(EventStoreError):
    """Another owner has opened this consumer, source or projection."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(f"{name!r} was taken over by {owner}: only the newest opener goes on")
        self.name = name
        self.owner = owner


class ConsumerRemovedError(TakenOverError):
    """A consumer was removed while it was open; what it has done since is not stored."""

    def __init__(self, name: str, owner: str) -> None:
        super().__init__(name, owner)
        self.args = (f"consumer {name!r} was removed: open it again to begin anew",)


class UnknownConsumerError(EventStoreError):
    """No consumer has this name; ``nearest`` is the known name that is most like it, or empty."""

    def __init__(self, name: str, nearest: str = "") -> None:
        hint = f"; the nearest known name is {nearest!r}" if nearest else ""
        super().__init__(f"consumer {name!r} is not known{hint}")
        self.name = name
        self.nearest = nearest


class ChangeRejectedError(EventStoreError):
    """A consumer has rejected an event; ``reason`` is the consumer's own text."""

    def __init__(self, consumer: str, position: int, reason: str) -> None:
        super().__init__(f"consumer {consumer!r} rejected the event at {position}: {reason}")
        self.consumer = consumer
        self.position = position
        self.reason = reason


class NotAppliedError(EventStoreError, TimeoutError):
    """Some consumers have not done a change within the timeout.

    ``behind`` gives the position of each of them, None for one that the log does not know.
    """

    def __init__(self, position: int, behind: Mapping[str, int | None], timeout: float) -> None:
        places = ", ".join(
            f"{name} is at {at}" if at is not None else f"{name} was never seen"
            for name, at in behind.items()
        )
        super().__init__(f"position {position} is not done after {timeout:g} s: {places}")
        self.position = position
        self.behind = dict(behind)


class StoreClosedError(EventStoreError):
    """The store or subscription is not open, or no longer."""


class WrongLoopError(EventStoreError):
    """An object was used outside the event loop that opened it; nothing was done.

    ``what`` names it. It belongs to the tasks of one event loop, also once that loop has ended.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} belongs to the event loop that opened it, and was used in another loop or "
            "thread, or after that loop ended: open one in each event loop, or call it from a "
            "thread by anyio.from_thread.run"
        )
        self.what = what


class ForkedError(StoreClosedError):
    """An object was used in a forked child of the process that opened it; nothing was done.

    ``what`` names it. The parent goes on using it.
    """

    def __init__(self, what: str, advice: str = "open it in the child, after the fork") -> None:
        super().__init__(
            f"{what} was opened before this process was forked, and belongs to the parent process: "
            f"{advice}"
        )
        self.what = what


class StorageError(EventStoreError):
    """The database refused or failed; ``where`` names it, the cause is chained.

    ``transient`` is True where the connection failed rather than the request, ``timed_out``
    where a timeout of the database ended the request, which was rolled back. In both cases a
    retry of the same call may succeed.
    """

    def __init__(
        self, where: str, reason: str, *, transient: bool = False, timed_out: bool = False
    ) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
        self.transient = transient
        self.timed_out = timed_out


class QueryTimeoutError(StorageError):
    """A query of a store was ended before it had its result; it has changed nothing.

    ``where`` names the log, ``seconds`` is the query's time limit. ``timed_out`` is True.
    """

    def __init__(self, where: str, seconds: float, reason: str = "") -> None:
        reason = reason or (
            f"it took longer than {seconds:g} s, the wait for a free thread included: "
            "ask for less, or give a longer timeout"
        )
        super().__init__(where, f"the query was ended: {reason}", timed_out=True)
        self.seconds = seconds


class FileChangedError(StorageError):
    """A file of an open log was removed, replaced or emptied; nothing more is written or read.

    ``file`` is that file, ``change`` is ``"removed"``, ``"replaced"`` or ``"emptied"``. ``pid`` is
    the process that still uses what was removed, where that is another one, else 0. A write that
    raises it may have gone into a file that no longer has this name: it counts as not stored.
    """

    def __init__(self, where: str, file: str, change: str, pid: int = 0) -> None:
        what = "the file" if file == where else file
        if pid:
            reason = (
                f"process {pid} has the log open and its {file} was {change}: what that process "
                "wrote is not here; end it, then look for a backup, and open the log again"
            )
        else:
            reason = f"{what} was {change} while in use: close the store and open it again"
        super().__init__(where, reason)
        self.file = file
        self.change = change
        self.pid = pid


class LogReplacedError(StorageError):
    """Another log, or another copy of the log, is where a store had opened one; nothing was stored.

    A backup was restored over it, an export was imported into it, or it got a new incarnation.
    ``known_log`` and ``known_incarnation`` are those that the store has opened, ``log`` and
    ``incarnation`` are there now; an incarnation is empty for a log that never was a copy.
    """

    def __init__(
        self, where: str, known_log: str, known_incarnation: str, log: str, incarnation: str
    ) -> None:
        if log != known_log:
            reason = f"it was log {known_log}, and is log {log} by now"
        else:
            reason = (
                f"it was incarnation {known_incarnation or '(none)'} of log {log}, and is "
                f"incarnation {incarnation or '(none)'} by now"
            )
        super().__init__(
            where, f"{reason}: restored or imported while in use; close the store and open it again"
        )
        self.known_log = known_log
        self.known_incarnation = known_incarnation
        self.log = log
        self.incarnation = incarnation


class LinkedFileError(StorageError):
    """A log's file has a second name that is in use: two names would make two histories.

    ``links`` is the number of names, ``other`` another one where it is known, else empty.
    """

    def __init__(self, where: str, links: int, other: str, found: str) -> None:
        super().__init__(
            where,
            f"the file has {links} names, and {other or 'it'} {found}: open it by that name, or "
            "make a copy with 'eventstore backup' instead of a link",
        )
        self.links = links
        self.other = other


class CorruptEventError(StorageError):
    """A stored row is not what was written; ``position`` says which."""

    def __init__(self, where: str, position: int, reason: str) -> None:
        super().__init__(where, f"event at position {position}: {reason}")
        self.position = position


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
        self.function = function
        self.position = position
        self.type = type
        self.reason = reason
