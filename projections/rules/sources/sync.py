"""The master's loop: a directory of rule files becomes events, and is followed."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from eventstore.errors import ConflictError, EventStoreError, StoreClosedError
from eventstore.log.names import check_stream
from eventstore.storage.sqlite.paths import log_file
from projections.rules.events import SOURCES
from projections.rules.sources._git_lock import find_git_lock
from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources._writes import commits_of, writes_of
from projections.rules.sources.debounce import Debounce, DebounceTimes
from projections.rules.sources.ignored_files import printable
from projections.rules.sources.lease import STANDBY_SECONDS, SourceLock
from projections.rules.sources.scan import MAX_RULE_BYTES
from projections.rules.sources.source_error import SourceError
from projections.rules.sources.watch import DirectoryWatch
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Callable

    from eventstore import EventStore
    from projections.rules.sources.ignored_files import IgnoredFile
    from projections.rules.sources.reconcile import Verdict

log = logging.getLogger(__name__)
_T = TypeVar("_T")

RESCAN_SECONDS: Final = 5.0
"""Longest time between two scans of ``run``, in seconds."""

ATTEMPTS: Final = 5
"""How often a scan is repeated when another master appended meanwhile."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one look at the directory found.

    ``defined`` and ``removed`` count what was appended; ``rejected`` the files that are
    rejected now, ``unchanged`` those whose rule stands as it is. ``position`` is that of
    the commit, ``None`` where nothing had to be appended. ``ignored`` counts the files that are
    no rules by their names; :attr:`RuleSync.ignored` lists them.
    """

    defined: int = 0
    removed: int = 0
    rejected: int = 0
    unchanged: int = 0
    position: int | None = None
    ignored: int = 0


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
        debounce: DebounceTimes = DebounceTimes(),  # noqa: B008 - it is immutable
        rescan_seconds: float = RESCAN_SECONDS,
    ) -> None:
        self._store = store
        self._root = Path(root).absolute()
        self._standing = StandingRules(source or str(self._root))
        self._reader = SourceReader(
            self._root,
            format=format,
            filename=filename,
            max_bytes=max_bytes,
            allow_empty=allow_empty,
        )
        check_stream(SOURCES + self._standing.source)
        self._lock = SourceLock(store, self._standing.source)
        self._watch: DirectoryWatch | None = None
        self._allow_empty = allow_empty
        self._debounce = debounce
        self._rescan_seconds = rescan_seconds
        self._limiter = anyio.CapacityLimiter(1)
        _refuse_own_log(store.url, self._root)

    @property
    def owner(self) -> str:
        """Who follows the source, ``HOST:PID``, as ``run`` last read it; empty before that."""
        return self._lock.owner

    @property
    def ignored(self) -> tuple[IgnoredFile, ...]:
        """The files that the latest look has passed over by their names, sorted by path."""
        return self._reader.ignored

    @property
    def trouble(self) -> str:
        """Why ``run`` looks at the directory on a timer only; empty while it can be watched."""
        return self._watch.trouble if self._watch is not None else ""

    async def sync_once(self) -> SyncReport:
        """Look at the directory once, and append what has changed as one commit.

        Needs not own the source: the log is read before the files, and what is appended
        expects the log as it was read, so that the edits of a master that follows the source
        are neither reverted nor repeated. Raises SourceError where the directory is missing,
        or empty without ``allow_empty``; bad files raise nothing, they are rejected and
        reported.
        """
        for attempt in range(1, ATTEMPTS + 1):
            await self._standing.refresh(self._store)
            verdict = await self._look()
            if verdict.changing and attempt < ATTEMPTS:
                continue
            try:
                return await self._commit(verdict)
            except ConflictError as conflict:
                # Another master appended since the refresh: look again, at both.
                if attempt == ATTEMPTS:
                    raise
                await self._standing.learn(self._store, conflict)
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
                # In a thread: on PostgreSQL it talks to a server, which may not answer.
                with anyio.CancelScope(shield=True):
                    await self._in_thread(self._lock.release)
            # Masters that stand by go first: their connections work.
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
        # Watching begins before the first scan, or a change between them would be lost.
        self._watch = watch = DirectoryWatch(self._root)
        watch.start()
        trouble = ""
        try:
            while True:
                seen = watch.count
                try:
                    report = await self._sync_at_rest()
                    trouble = ""
                    if report.position is not None and on_report is not None:
                        on_report(report)
                except StoreClosedError:
                    raise  # Nothing will ever be appended again.
                except EventStoreError as error:
                    if str(error) != trouble:
                        log.warning("%s", error)
                    trouble = str(error)
                # Shown by `eventstore status`, on other hosts too.
                self._lock.report(trouble or self.trouble)
                await watch.wait(seen, self._rescan_seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(watch.close, limiter=self._limiter)

    async def _sync_at_rest(self) -> SyncReport:
        """Look until the directory has come to rest, then commit what it says."""
        debounce = Debounce(self._debounce)
        while True:
            await self._standing.refresh(self._store)
            verdict = await self._look()
            if not verdict.changes_anything and not verdict.changing:
                return self._report(verdict, None)
            busy = verdict.changing > 0 or find_git_lock(self._root) is not None
            wait = debounce.wait(self._reader.files, incomplete=verdict.incomplete, busy=busy)
            if wait <= 0:
                # The next owner may have begun already, with other files.
                await self._lock.confirm()
                try:
                    return await self._commit(verdict)
                except ConflictError as conflict:
                    await self._standing.learn(self._store, conflict)
                    continue
            await anyio.sleep(wait)

    async def _look(self) -> Verdict:
        verdict = await self._in_thread(partial(self._reader.look, self._standing))
        self._refuse_to_remove_all(verdict)
        return verdict

    def _refuse_to_remove_all(self, verdict: Verdict) -> None:
        if verdict.loses_everything and not self._allow_empty:
            raise SourceError(
                self._root,
                f"holds no rules any more, but {len(verdict.removed)} stand in the log; they "
                "stay: if the directory is really meant to be empty, say so with --allow-empty",
            )

    async def _commit(self, verdict: Verdict) -> SyncReport:
        position = None
        for writes in commits_of(writes_of(verdict, self._standing)):
            position = (await self._store.append_many(writes)).position
        if verdict.removed:
            for rule, file in await self._in_thread(partial(self._reader.removed_by_name, verdict)):
                path = printable(file.path)
                log.warning("rule %r is removed: its file %r %s", rule.rule_id, path, file.reason)
        return self._report(verdict, position)

    def _report(self, verdict: Verdict, position: int | None) -> SyncReport:
        return SyncReport(
            len(verdict.defined),
            len(verdict.removed),
            len(verdict.rejected),
            verdict.unchanged,
            position,
            len(self.ignored),
        )

    async def _in_thread(self, function: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(function, limiter=self._limiter)


def _refuse_own_log(url: str, root: Path) -> None:
    path = log_file(url)
    if path is not None and path.is_relative_to(root.resolve()):
        raise SourceError(
            root, f"contains the log itself ({path}): put the log outside of what is synced"
        )
