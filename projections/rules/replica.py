"""Rules and states from a projected directory alone, for hosts that have no way to the log.

The directory may be shared or copied: what is read is one file in it, which says by a checksum
whether it is whole, and where in the log it is, and the whole lines of the journal that continues
it. A file that arrives torn, damaged or not at all leaves what was read last.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import anyio
import msgspec

from eventstore.errors import EventStoreError, StorageError
from eventstore.log.clock import from_microseconds, system_clock
from eventstore.system.directory_watch import Watcher
from eventstore.system.event_loop import Signal
from eventstore.system.owners import ProcessGuard, Unpicklable
from projections.rules._replica_changes import Point, ReplicaChanges, ReplicaCommits, point_of
from projections.rules._replica_fold import NOTHING
from projections.rules._replica_reader import ReplicaReader
from projections.rules._replica_reports import ReplicaReports
from projections.rules.model import (
    CompiledRule,
    RuleChange,
    RuleState,
    decode_rule,
    decode_state,
    removed_rule,
)
from projections.rules.replica_file import ReplicaFileError
from projections.rules.rule_types import check_types
from projections.rules.store import PINNED_LOADS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from eventstore.log.clock import Clock
    from projections.rules._replica_fold import Change
    from projections.rules.given_states import RuleStateLike
    from projections.rules.loaded_report import LoadedReport
    from projections.rules.replica_file import ReplicaFile
    from projections.rules.rule_types import RuleTypes

log = logging.getLogger(__name__)

TORN_SECONDS: Final = 2.0
"""How long the first read waits for a file that is being copied to be whole."""


class ReadOnlyError(EventStoreError):
    """A write to a replica was refused: only the log's own side can change it."""

    def __init__(self, root: str) -> None:
        super().__init__(
            f"the rules in {root} are a copy: set the state where the log is, with "
            "'eventstore state' or RuleStore.set_state, and it will arrive here"
        )
        self.root = root


class RuleReplica(Unpicklable):
    """The part of :class:`~projections.rules.RuleStore` that reads, over a projected directory.

    ``root`` is a directory that ``eventstore up --to`` or ``eventstore project`` keeps, or a
    copy of one. It is watched, and read every ``poll`` seconds besides, because shared and
    copied directories may report no changes. ``types`` are the classes to build. ``report_to`` is
    the URL of the log, by a server, that :meth:`report_loaded` tells. Safe to use from
    several tasks and threads, and in several event loops; a forked child gets ForkedError, and
    makes one of its own.

    Reading raises StorageError where there is no replica file yet, and ReplicaFileError, a
    StorageError, where it is not whole. What was read stands until there is a newer whole
    file; :attr:`trouble` says why there is none.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        poll: float = 1.0,
        clock: Clock = system_clock,
        types: RuleTypes | None = None,
        report_to: str | None = None,
    ) -> None:
        self._types = check_types(types)
        self._typed: dict[RuleTypes, RuleReplica] = {}
        self.root = Path(root)
        self.poll = poll
        self.trouble = ""
        """Why the file as it is now cannot be used; empty where it can."""
        self._reports = ReplicaReports(self._types, report_to)
        self._clock = clock
        self._guard = ProcessGuard(f"the replica {root}")
        self._lock = threading.Lock()
        self._reader = ReplicaReader(self.root)
        self._file: ReplicaFile | None = None
        self._loads: deque[Point] = deque()
        self._started: Point | None = None
        self._changed = Signal()
        self._watcher: Watcher | None = None

    def _with_types(self, types: RuleTypes) -> RuleReplica:
        """Return a replica of the same directory for callers with classes of their own."""
        if types == self._types:
            return self
        typed = RuleReplica(
            self.root,
            poll=self.poll,
            clock=self._clock,
            types=types,
            report_to=self._reports.url,
        )
        return self._typed.setdefault(types, typed)

    @property
    def position(self) -> int:
        """Where in the log the rules are that were read last; 0 before the first look."""
        return self._file.position if self._file is not None else 0

    async def load_compiled(self) -> list[CompiledRule]:
        """Return every rule that stands, by id, with its current state stamped on.

        The next ``subscribe_changes`` starts from what this saw.
        """
        file = await self.read()
        rules = [
            decode_rule(msgspec.json.decode(one.value), self._state_of(file, rule_id))
            for rule_id, one in sorted(file.rules.items())
            if one.value != NOTHING
        ]
        if len(self._loads) < PINNED_LOADS:
            self._loads.append(point_of(file))
        return self._types.build_rules(rules)

    async def get_state(self, rule_id: str) -> RuleState:
        """Return a rule's current state: the default for an unknown id or an expired state."""
        state: RuleState = self._types.build_state(self._state_of(await self.read(), rule_id))
        return state

    async def set_state(self, rule_id: str, state: RuleStateLike, set_by: str) -> NoReturn:  # noqa: ARG002
        """Raise ReadOnlyError: states are set where the log is."""
        raise ReadOnlyError(str(self.root))

    async def revert(
        self,
        target: str,  # noqa: ARG002
        to: int | datetime | str,  # noqa: ARG002
        *,
        by: str,  # noqa: ARG002
        reason: str = "",  # noqa: ARG002
    ) -> NoReturn:
        """Raise ReadOnlyError: rules are reverted where the log is."""
        raise ReadOnlyError(str(self.root))

    async def report_loaded(
        self,
        loaded: Iterable[Any],
        *,
        rejected: Mapping[str, object] | None = None,
        engine: str = "",
        version: str = "",
        worker: str | None = None,
    ) -> LoadedReport:
        """Tell the log at ``report_to`` which rules this worker runs; return what was told.

        They are compared with what the directory has now. The rest is as for
        :meth:`RuleStore.report_loaded <projections.rules.RuleStore.report_loaded>`. Raises
        ConfigError without ``report_to``, and what opening and writing the log raise.
        """
        file = await self.read()
        now, who = from_microseconds(self._clock()), (engine, version)
        state_of = partial(self._state_of, file)
        reasons = rejected or {}
        return await self._reports.tell(file, state_of, loaded, reasons, who, worker, now)

    def subscribe_changes(self) -> ReplicaChanges:
        """Follow changes of definitions and states: one item per logged change, in order.

        Starts at the oldest load that no subscription has started from yet, without one at
        what was read last; where nothing was, this reads it before it returns. A follower that
        was away for more changes than the file holds gets the last change of each rule and
        state, removals too. Iterating raises HistoryDivergedError once the directory belongs to
        another history than what was read, or to an older copy of it: load again then.
        """
        return ReplicaChanges(self, self._start())

    def subscribe_commits(self) -> ReplicaCommits:
        """Follow like :meth:`subscribe_changes`, the changes of each commit together."""
        return ReplicaCommits(self, self._start())

    async def read(self) -> ReplicaFile:
        """Return what the directory says now, or the last that was whole."""
        self._guard.check()
        deadline = time.monotonic() + TORN_SECONDS
        while True:
            try:
                return await anyio.to_thread.run_sync(self._read)
            except ReplicaFileError:
                if time.monotonic() > deadline:
                    raise
            await anyio.sleep(TORN_SECONDS / 20)

    def _read(self) -> ReplicaFile:
        with self._lock:
            try:
                self._file = self._reader.read()
                self.trouble = ""
            except StorageError as error:
                if self._file is None:
                    raise
                if not self.trouble:
                    log.warning("%s; the rules as of %d still stand", error, self._file.position)
                self.trouble = str(error)
            assert self._file is not None  # noqa: S101 - else something was raised
            return self._file

    def _start(self) -> Point:
        self._guard.check()
        if self._loads:
            self._started = self._loads.popleft()
        start = self._started or point_of(self._file or self._read())
        if self._watcher is None:
            watcher = Watcher(self.root, self._changed.set, recursive=False)
            watcher.start()
            weakref.finalize(self, watcher.close)
            self._watcher = watcher
        return start

    def _state_of(self, file: ReplicaFile, rule_id: object) -> RuleState:
        one = file.states.get(rule_id) if isinstance(rule_id, str) else None
        if one is None or one.value == NOTHING:
            return RuleState()
        return decode_state(msgspec.json.decode(one.value)).effective(
            from_microseconds(self._clock())
        )

    def read_change(self, file: ReplicaFile, change: Change) -> RuleChange:
        """Return what a change means; a definition carries the rule's current state."""
        return self._types.build_change(self._read_change(file, change))

    def _read_change(self, file: ReplicaFile, change: Change) -> RuleChange:
        kind, rule_id = change.kind, change.rule_id
        value: Any = msgspec.json.decode(change.value)
        if kind == "state":
            return RuleChange(kind, rule_id, decode_state(value) if value else RuleState())
        if value is None:
            return RuleChange(kind, rule_id, removed_rule(rule_id))
        return RuleChange(kind, rule_id, decode_rule(value, self._state_of(file, rule_id)))

    async def wait(self, seen: int, woken: anyio.Event) -> None:
        """Return once there may be something new."""
        await self._changed.wait(seen, self.poll, woken)

    @property
    def changes_seen(self) -> int:
        """How many hints of a new file there were: taken before reading, for ``wait``."""
        return self._changed.count
