"""Rules and states from a projected directory alone, for hosts that have no way to the log.

The directory may be shared or copied: what is read is one file in it, which says by a checksum
whether it is whole, and where in the log it is. Whatever arrives torn, damaged or not at all,
what was read last still stands.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import anyio
import msgspec

from eventstore.errors import EventStoreError, HistoryDivergedError, StorageError
from eventstore.log.clock import from_microseconds, system_clock
from eventstore.system.directory_watch import Watcher
from eventstore.system.event_loop import Signal
from eventstore.system.stat_cache import FileStamp
from projections.rules.model import (
    CompiledRule,
    RuleChange,
    RuleState,
    decode_rule,
    decode_state,
    removed_rule,
)
from projections.rules.replica_file import FEED, NOTHING, FeedError, decode_feed
from projections.rules.store import PINNED_LOADS

if TYPE_CHECKING:
    from eventstore.log.clock import Clock
    from projections.rules.replica_file import Change, Feed

log = logging.getLogger(__name__)

MAX_BYTES: Final = 1024**3
"""The largest file of rules that is read."""

TORN_SECONDS: Final = 2.0
"""How long a first look waits for a file that is being copied to be whole."""

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class ReadOnlyError(EventStoreError):
    """Somebody wrote to a replica, which only the log's own side can change."""

    def __init__(self, root: str) -> None:
        super().__init__(
            f"the rules in {root} are a copy: set the state where the log is, with "
            "'eventstore state' or RuleStore.set_state, and it will arrive here"
        )
        self.root = root


class _Point(NamedTuple):
    """Where a reader is: its log, its position, and the last change it knows, with its hash."""

    log_id: str
    position: int
    last: tuple[int, str] | None


class RuleReplica:
    """The part of :class:`~projections.rules.RuleStore` that reads, over a projected directory.

    ``root`` is a directory that ``eventstore up --to`` or ``eventstore project`` keeps, or a
    copy of one. It is watched, and looked at every ``poll`` seconds, because shared and copied
    directories may tell nobody of changes. Safe to use from several tasks and threads.

    Reading raises StorageError where there is nothing yet, and FeedError, a StorageError, where
    what is there is not whole. Once something was read, it stands until there is something
    newer that is whole; :attr:`trouble` says why there is none.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, poll: float = 1.0, clock: Clock = system_clock
    ) -> None:
        self.root = Path(root)
        self.poll = poll
        self.trouble = ""
        """Why the file as it is now cannot be used; empty where it can."""
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp: FileStamp | None = None
        self._feed: Feed | None = None
        self._loads: deque[_Point] = deque()
        self._started: _Point | None = None
        self._changed = Signal()
        self._watcher: Watcher | None = None

    @property
    def position(self) -> int:
        """Where in the log the rules are that were read last; 0 before the first look."""
        return self._feed.position if self._feed is not None else 0

    async def load_compiled(self) -> list[CompiledRule]:
        """Return every rule that stands, by id, with its current state stamped on.

        The next ``subscribe_changes`` starts from what this saw.
        """
        feed = await self.look()
        rules = [
            decode_rule(msgspec.json.decode(one.value), self._state_of(feed, rule_id))
            for rule_id, one in sorted(feed.rules.items())
            if one.value != NOTHING
        ]
        if len(self._loads) < PINNED_LOADS:
            self._loads.append(_point(feed))
        return rules

    async def get_state(self, rule_id: str) -> RuleState:
        """Return a rule's current state: the default for an unknown id or an expired state."""
        return self._state_of(await self.look(), rule_id)

    async def set_state(self, rule_id: str, state: RuleState, set_by: str) -> NoReturn:  # noqa: ARG002
        """Raise ReadOnlyError: states are set where the log is."""
        raise ReadOnlyError(str(self.root))

    def subscribe_changes(self) -> ReplicaChanges:
        """Follow changes of definitions and states: one item per logged change, in order.

        Starts at the oldest load that no subscription has started from yet, without one at
        what was read last; where nothing was, this reads it before it returns. Who was away
        for more changes than the file holds gets the latest word on each rule and state, of
        removed ones too. Iterating raises HistoryDivergedError once the directory belongs to
        another history than what was read, or to an older copy of it: load again then.
        """
        return ReplicaChanges(self, self._start())

    def subscribe_commits(self) -> ReplicaCommits:
        """Follow like :meth:`subscribe_changes`, the changes of each commit together."""
        return ReplicaCommits(self, self._start())

    async def look(self) -> Feed:
        """Return what the directory says now, or the last that was whole."""
        deadline = time.monotonic() + TORN_SECONDS
        while True:
            try:
                return await anyio.to_thread.run_sync(self._look)
            except FeedError:
                if time.monotonic() > deadline:
                    raise
            await anyio.sleep(TORN_SECONDS / 20)

    def _look(self) -> Feed:
        with self._lock:
            try:
                stamp, raw = _read(self.root / FEED, self._stamp)
                if raw is not None:
                    self._feed = decode_feed(raw, str(self.root / FEED))
                    self._stamp = stamp
                self.trouble = ""
            except StorageError as error:
                if self._feed is None:
                    raise
                if not self.trouble:
                    log.warning("%s; the rules as of %d still stand", error, self._feed.position)
                self.trouble = str(error)
            assert self._feed is not None  # noqa: S101 - else something was raised
            return self._feed

    def _start(self) -> _Point:
        if self._watcher is None:
            self._watcher = Watcher(self.root, self._changed.set, recursive=False)
            self._watcher.start()
            weakref.finalize(self, self._watcher.close)
        if self._loads:
            self._started = self._loads.popleft()
        return self._started or _point(self._feed or self._look())

    def _state_of(self, feed: Feed, rule_id: str) -> RuleState:
        one = feed.states.get(rule_id)
        if one is None or one.value == NOTHING:
            return RuleState()
        return decode_state(msgspec.json.decode(one.value)).effective(
            from_microseconds(self._clock())
        )

    def read_change(self, feed: Feed, change: Change) -> RuleChange:
        """Return what a change means; a definition carries the rule's current state."""
        kind, rule_id = change.kind, change.rule_id
        value: Any = msgspec.json.decode(change.value)
        if kind == "state":
            return RuleChange(kind, rule_id, decode_state(value) if value else RuleState())
        if value is None:
            return RuleChange(kind, rule_id, removed_rule(rule_id))
        return RuleChange(kind, rule_id, decode_rule(value, self._state_of(feed, rule_id)))

    async def wait(self, seen: int, woken: anyio.Event) -> None:
        """Return once there may be something new."""
        await self._changed.wait(seen, self.poll, woken)

    @property
    def changes_seen(self) -> int:
        """How often there was a sign of something new: taken before looking, for ``wait``."""
        return self._changed.count


class _Follower:
    """What both iterators share: a place in the log, and the feeds that come after it."""

    def __init__(self, replica: RuleReplica, start: _Point) -> None:
        self._replica = replica
        self._point = start
        self._woken = anyio.Event()
        self._closed = False
        self._guard = anyio.ResourceGuard("reading from")
        self._feed: Feed | None = None
        self._waiting: deque[Change] = deque()

    async def fill(self) -> None:
        """Return once changes wait to be given out; raise StopAsyncIteration when closed."""
        with self._guard:
            while not self._waiting:
                if self._closed:
                    raise StopAsyncIteration
                seen = self._replica.changes_seen
                feed = await self._replica.look()
                if _point(feed) != self._point:
                    _check(self._point, feed)
                    self._waiting.extend(feed.since(self._point.position))
                    self._point, self._feed = _point(feed), feed
                elif not self._closed:
                    await self._replica.wait(seen, self._woken)

    def take(self) -> RuleChange:
        """Return the next change that waits."""
        assert self._feed is not None  # noqa: S101 - it is where they come from
        return self._replica.read_change(self._feed, self._waiting.popleft())

    async def aclose(self) -> None:
        """End the iteration; a waiting reader stops iterating."""
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
        changes = []
        while self._waiting and self._waiting[0].commit == commit:
            changes.append(self.take())
        return changes


def _point(feed: Feed) -> _Point:
    last = [(change.position, change.hash) for change in feed.recent[-1:]]
    return _Point(feed.log_id, feed.position, last[0] if last else None)


def _check(point: _Point, feed: Feed) -> None:
    """Raise HistoryDivergedError where what was read before is not part of this."""
    reason = ""
    if point.log_id != feed.log_id:
        reason = "the directory is of another log now"
    elif feed.position < point.position:
        reason = "the directory was replaced by an older copy, or its log was restored from one"
    elif point.last is not None and point.last[0] > feed.floor:
        known = {(change.position, change.hash) for change in feed.recent}
        if point.last not in known:
            reason = "the directory's log was restored from an older copy, and went another way"
    if reason:
        raise HistoryDivergedError(point.position, feed.position, reason)


def _read(path: Path, known: FileStamp | None) -> tuple[FileStamp | None, bytes | None]:
    """Return what tells this file from a later one, and its content unless that is ``known``."""
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError as error:
        reason = f"has no {FEED}: it is no projected directory, or its copy has not come yet"
        raise StorageError(str(path.parent), reason) from error
    except OSError as error:
        raise StorageError(str(path), error.strerror or repr(error)) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            raise FeedError(str(path), f"is no file of at most {MAX_BYTES:,} bytes")
        stamp = FileStamp.of(status)
        if stamp == known:
            return stamp, None
        with open(descriptor, "rb", closefd=False) as file:
            raw = file.read()
    finally:
        os.close(descriptor)
    # A file that is being written in place may change again within one tick of the clock.
    return stamp if stamp.proves(time.time_ns()) else None, raw
