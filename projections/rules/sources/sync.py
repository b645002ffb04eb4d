"""The master's part: a directory of rule files becomes events, and stays followed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from eventstore import limits
from eventstore.errors import ConflictError, EventStoreError, StoreClosedError
from eventstore.log.events import NewEvent, StreamWrite
from eventstore.log.names import check_stream
from eventstore.storage.sqlite.paths import log_file
from eventstore.system.directory_watch import Watcher
from eventstore.system.event_loop import Signal
from projections.rules.events import (
    REJECTION_ENDED,
    RULE_REJECTED,
    RULE_REMOVED,
    RULES,
    SOURCES,
)
from projections.rules.sources.debounce import Settle, SettleTimes, find_git_lock
from projections.rules.sources.lease import STANDBY_SECONDS, SourceLock
from projections.rules.sources.parsing import RuleReader
from projections.rules.sources.scan import MAX_RULE_BYTES, SourceError
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Callable, Iterator

    from eventstore import EventStore
    from projections.rules.sources.reconcile import Verdict

log = logging.getLogger(__name__)
_T = TypeVar("_T")

RESCAN_SECONDS: Final = 5.0
"""How often ``run`` looks at the directory without having been woken."""

ATTEMPTS: Final = 5
"""How often a scan is repeated when another master appended meanwhile."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one look at the directory found.

    ``defined`` and ``removed`` count what was appended; ``rejected`` the files that are
    rejected now, ``unchanged`` those whose rule stands as it is. ``position`` is that of
    the commit, ``None`` where nothing had to be appended.
    """

    defined: int = 0
    removed: int = 0
    rejected: int = 0
    unchanged: int = 0
    position: int | None = None


class RuleSync:
    """Brings the log in line with a directory of rule files.

    ``format`` is a registered rule format (``ttp``, ``sigma``, ``raw``). ``source`` names
    the directory within the log, by default by its path: removals and rejections concern
    rules of the same source only. ``filename`` overrides the format's allow-list of base
    names, ``max_bytes`` the size limit of a file. If every one of several rules would be
    removed at once, that is refused unless ``allow_empty``: an unmounted directory looks
    just like an empty one.
    """

    def __init__(
        self,
        store: EventStore,
        root: str | os.PathLike[str],
        *,
        format: str = "ttp",  # noqa: A002 - the word that users write
        source: str | None = None,
        filename: re.Pattern[str] | None = None,
        max_bytes: int = MAX_RULE_BYTES,
        allow_empty: bool = False,
        settle: SettleTimes = SettleTimes(),  # noqa: B008 - it is immutable
        rescan_seconds: float = RESCAN_SECONDS,
    ) -> None:
        self._store = store
        self._root = Path(root).absolute()
        self._known = StandingRules(source or str(self._root))
        self._reader = RuleReader(
            self._root, self._known, format=format, filename=filename, max_bytes=max_bytes
        )
        check_stream(SOURCES + self._known.source)
        self._lock = SourceLock(store, self._known.source)
        self._watcher: Watcher | None = None
        self._allow_empty = allow_empty
        self._settle = settle
        self._rescan_seconds = rescan_seconds
        self._limiter = anyio.CapacityLimiter(1)
        _refuse_own_log(store.url, self._root)

    @property
    def owner(self) -> str:
        """Who follows the source, ``HOST:PID``, as ``run`` last saw it; empty before that."""
        return self._lock.owner

    @property
    def trouble(self) -> str:
        """Why ``run`` looks at the directory on a timer only; empty while it can be watched."""
        return self._watcher.trouble if self._watcher is not None else ""

    async def sync_once(self) -> SyncReport:
        """Look at the directory once, and append what has changed as one commit.

        Needs not own the source: the log is read before the files, and what is appended
        expects the log as it was read, so that a master who follows the source is neither
        reverted nor repeated. Raises SourceError where the directory is missing, or empty without
        ``allow_empty``; bad files raise nothing, they are rejected and reported.
        """
        for attempt in range(1, ATTEMPTS + 1):
            await self._known.refresh(self._store)
            verdict = await self._look()
            if verdict.unsettled and attempt < ATTEMPTS:
                continue
            try:
                return await self._commit(verdict)
            except ConflictError as conflict:
                # Another master appended since the refresh: look again, at both.
                if attempt == ATTEMPTS:
                    raise
                await self._known.learn(self._store, conflict)
        raise AssertionError("unreachable")

    async def run(self, on_report: Callable[[SyncReport], None] | None = None) -> None:
        """Reconcile, then follow the directory until cancelled.

        A source has one owner: where another ``run`` of the same source of the same log
        goes on, in any process that can take its place (of this host for a log in a file,
        of any host for one on PostgreSQL), this one stands by, and takes over within a second
        of the other's end. An owner that lost its hold on the source, with its connection,
        stands by in its turn. ``on_report`` is called after each look that appended
        something. Trouble with the directory or the log is logged and tried again; it does
        not end the run. Raises StoreClosedError once the store is closed.
        """
        while True:
            try:
                await self._lock.acquire()
                await self._follow_while_owner(on_report)
            finally:
                # In a thread: a server may have to be told, over a network that does not answer.
                with anyio.CancelScope(shield=True):
                    await self._in_thread(self._lock.release)
            # Whoever stands by goes first: they have a connection that works.
            await anyio.sleep(2 * STANDBY_SECONDS)

    async def _follow_while_owner(self, on_report: Callable[[SyncReport], None] | None) -> None:
        """Follow until the source is lost; raise what ends following for good."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._lock.end_when_lost, tasks.cancel_scope)
            try:
                await self._follow(on_report)
            except Exception as error:
                failure = error
                tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _follow(self, on_report: Callable[[SyncReport], None] | None) -> None:
        changed = Signal()
        # Watching begins before the first scan, or a change between them would be lost.
        self._watcher = watcher = Watcher(self._root, changed.set, recursive=True)
        watcher.start()
        trouble = ""
        try:
            while True:
                seen = changed.count
                try:
                    report = await self._sync_settled()
                    trouble = ""
                    if report.position is not None and on_report is not None:
                        on_report(report)
                except StoreClosedError:
                    raise  # Nothing will ever be appended again.
                except EventStoreError as error:
                    if str(error) != trouble:
                        log.warning("%s", error)
                    trouble = str(error)
                # In `status`, where somebody looks who does not read this process's log.
                self._lock.report(trouble or self.trouble)
                await changed.wait(seen, self._rescan_seconds, anyio.Event())
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(watcher.close, limiter=self._limiter)

    async def _sync_settled(self) -> SyncReport:
        """Look until the directory has come to rest, then commit what it says."""
        settle = Settle(self._settle)
        while True:
            await self._known.refresh(self._store)
            verdict = await self._look()
            if not verdict.changes_anything and not verdict.unsettled:
                return _report(verdict, None)
            busy = verdict.unsettled > 0 or find_git_lock(self._root) is not None
            wait = settle.wait(self._reader.files, hasty=verdict.hasty, busy=busy)
            if wait <= 0:
                # The owner next to come may be at work already, from other files.
                await self._lock.confirm()
                try:
                    return await self._commit(verdict)
                except ConflictError as conflict:
                    await self._known.learn(self._store, conflict)
                    continue
            await anyio.sleep(wait)

    async def _look(self) -> Verdict:
        verdict = await self._in_thread(self._reader.look)
        self._guard(verdict)
        return verdict

    def _guard(self, verdict: Verdict) -> None:
        remains = verdict.defined or verdict.unchanged or verdict.rejected or verdict.unsettled
        if len(verdict.removed) > 1 and not remains and not self._allow_empty:
            raise SourceError(
                self._root,
                f"holds no rules any more, but {len(verdict.removed)} stand in the log; they "
                "stay: if the directory is really meant to be empty, say so with --allow-empty",
            )

    async def _commit(self, verdict: Verdict) -> SyncReport:
        position = None
        for writes in _portions(self._writes(verdict)):
            position = (await self._store.append_many(writes)).position
        return _report(verdict, position)

    def _writes(self, verdict: Verdict) -> Iterator[StreamWrite]:
        source, versions = self._known.source, self._known.versions
        # Removals come first, so that whoever takes the path over finds it free.
        for rule in verdict.removed:
            stream = RULES + rule.rule_id
            data = {"rule_id": rule.rule_id, "path": rule.path, "source": source}
            yield StreamWrite(stream, [NewEvent(RULE_REMOVED, data)], versions.get(stream, 0))
        for readable in verdict.defined:
            stream = RULES + readable.parsed.rule_id
            yield StreamWrite(stream, [self._reader.definition(readable)], versions.get(stream, 0))
        notes = [
            NewEvent(
                RULE_REJECTED,
                {
                    "path": rejected.path,
                    "source": source,
                    "sha256": rejected.sha256,
                    "reason": rejected.reason,
                    "line": rejected.line,
                },
            )
            for rejected in verdict.new_rejections
        ]
        notes += [
            NewEvent(REJECTION_ENDED, {"path": path, "source": source}) for path in verdict.ended
        ]
        stream = self._known.source_stream
        for start in range(0, len(notes), limits.MAX_COMMIT_EVENTS):
            portion = notes[start : start + limits.MAX_COMMIT_EVENTS]
            yield StreamWrite(stream, portion, versions.get(stream, 0) + start)

    async def _in_thread(self, function: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(function, limiter=self._limiter)


def _report(verdict: Verdict, position: int | None) -> SyncReport:
    return SyncReport(
        len(verdict.defined),
        len(verdict.removed),
        len(verdict.rejected),
        verdict.unchanged,
        position,
    )


def _portions(writes: Iterator[StreamWrite]) -> Iterator[list[StreamWrite]]:
    """Cut a change that is larger than one commit may be; nearly always there is one."""
    portion: list[StreamWrite] = []
    events = size = 0
    for write in writes:
        count = len(write.events)
        bytes_ = sum(len(event.raw_data) for event in write.events)
        if portion and (
            events + count > limits.MAX_COMMIT_EVENTS or size + bytes_ > limits.MAX_COMMIT_BYTES
        ):
            yield portion
            portion, events, size = [], 0, 0
        portion.append(write)
        events += count
        size += bytes_
    if portion:
        yield portion


def _refuse_own_log(url: str, root: Path) -> None:
    path = log_file(url)
    if path is not None and path.is_relative_to(root.resolve()):
        raise SourceError(
            root, f"contains the log itself ({path}): put the log outside of what is synced"
        )
