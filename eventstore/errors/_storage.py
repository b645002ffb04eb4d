"""Errors of the database and of its files."""

from __future__ import annotations

from eventstore.errors._root import EventStoreError


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
        self.file, self.change, self.pid = file, change, pid


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
        self.links, self.other = links, other


class CorruptEventError(StorageError):
    """A stored row is not what was written; ``position`` says which."""

    def __init__(self, where: str, position: int, reason: str) -> None:
        super().__init__(where, f"event at position {position}: {reason}")
        self.position = position
