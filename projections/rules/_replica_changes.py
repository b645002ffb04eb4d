"""The iterators over the changes of a replica, and where in the log each of them is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

import anyio

from eventstore.errors import HistoryDivergedError
from eventstore.system.owners import LoopGuard, Unpicklable

if TYPE_CHECKING:
    from projections.rules._replica_fold import Change
    from projections.rules.model import RuleChange
    from projections.rules.replica_file import ReplicaFile


class Point(NamedTuple):
    """Where a reader is: its log, its position, and the last change it knows, with its hash."""

    log_id: str
    position: int
    last: tuple[int, str] | None


def point_of(file: ReplicaFile) -> Point:
    """Return where a reader is that has read all of a file."""
    last = [(change.position, change.hash) for change in file.recent[-1:]]
    return Point(file.log_id, file.position, last[0] if last else None)


class Source(Protocol):
    """What the iterators need of a replica."""

    @property
    def changes_seen(self) -> int:
        """How many hints of a new file there were: taken before reading, for ``wait``."""

    async def read(self) -> ReplicaFile:
        """Return what the directory says now, or the last that was whole."""

    async def wait(self, seen: int, woken: anyio.Event) -> None:
        """Return once there may be something new."""

    def read_change(self, file: ReplicaFile, change: Change) -> RuleChange:
        """Return what a change means."""


class _Follower(Unpicklable):
    """What both iterators share: a place in the log, and the files that come after it."""

    def __init__(self, replica: Source, start: Point) -> None:
        self._replica = replica
        self._point = start
        self._loop = LoopGuard("this iterator over a replica's changes")
        self._woken = anyio.Event()
        self._closed = False
        self._guard = anyio.ResourceGuard("reading from")
        self._file: ReplicaFile | None = None
        self._waiting: deque[Change] = deque()

    async def fill(self) -> None:
        """Return once changes wait to be given out; raise StopAsyncIteration when closed."""
        self._loop.check()
        if not self._loop.bound:
            self._loop.bind()
        with self._guard:
            while not self._waiting:
                if self._closed:
                    raise StopAsyncIteration
                seen = self._replica.changes_seen
                file = await self._replica.read()
                if point_of(file) != self._point:
                    _check(self._point, file)
                    self._waiting.extend(file.since(self._point.position))
                    self._point, self._file = point_of(file), file
                elif not self._closed:
                    await self._replica.wait(seen, self._woken)

    def take(self) -> RuleChange:
        """Return the next change that waits."""
        assert self._file is not None  # noqa: S101 - the changes come from it
        change = self._replica.read_change(self._file, self._waiting[0])
        self._waiting.popleft()
        return change

    async def aclose(self) -> None:
        """End the iteration; a waiting reader stops iterating."""
        self._loop.check()
        self._closed = True
        self._waiting.clear()
        self._woken.set()


class ReplicaChanges(_Follower):
    """An async iterator over single changes; see :meth:`RuleReplica.subscribe_changes`."""

    def __aiter__(self) -> ReplicaChanges:
        return self

    async def __anext__(self) -> RuleChange:
        await self.fill()
        return self.take()


class ReplicaCommits(_Follower):
    """An async iterator over commits; see :meth:`RuleReplica.subscribe_commits`."""

    def __aiter__(self) -> ReplicaCommits:
        return self

    async def __anext__(self) -> list[RuleChange]:
        await self.fill()
        commit = self._waiting[0].commit
        waiting, changes = self._waiting.copy(), []
        try:
            while self._waiting and self._waiting[0].commit == commit:
                changes.append(self.take())
        except BaseException:
            self._waiting = waiting  # A commit is given out whole.
            raise
        return changes


def _check(point: Point, file: ReplicaFile) -> None:
    """Raise HistoryDivergedError where what was read before is not part of this."""
    reason = ""
    if point.log_id != file.log_id:
        reason = "the directory is of another log now"
    elif file.position < point.position:
        reason = "the directory was replaced by an older copy, or its log was restored from one"
    elif point.last is not None and point.last[0] > file.floor:
        known = {(change.position, change.hash) for change in file.recent}
        if point.last not in known:
            reason = "the directory's log was restored from an older copy, and went another way"
    if reason:
        raise HistoryDivergedError(point.position, file.position, reason)
