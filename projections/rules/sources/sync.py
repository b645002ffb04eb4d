"""The master's loop: a directory of rule files becomes events, and is followed."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio

from eventstore.errors import EventStoreError, StoreClosedError
from eventstore.log.names import check_stream
from eventstore.storage.sqlite.paths import log_file
from projections.rules.events import SOURCES
from projections.rules.sources._directory_look import DirectoryLook
from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources.debounce import DebounceTimes
from projections.rules.sources.git_lock import GitLockError
from projections.rules.sources.joint_sync import sync_directories
from projections.rules.sources.lease import NOTE, STANDBY_SECONDS, SourceLock
from projections.rules.sources.scan import MAX_RULE_BYTES
from projections.rules.sources.source_error import SourceError
from projections.rules.sources.watch import DirectoryWatch
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Callable, Sequence

    from eventstore import EventStore
    from projections.rules.sources.ignored_files import IgnoredFile
    from projections.rules.sources.sync_report import SyncReport

log = logging.getLogger(__name__)

RESCAN_SECONDS: Final = 5.0
"""Longest time between two looks of ``run`` at every file, in seconds."""

GIT_RETRY_SECONDS: Final = 0.5
"""Time before ``run`` looks again after git has held its lock for too long, in seconds."""

SHOWN_REJECTIONS: Final = 20
"""How many of the rejections that stand a master names when it begins."""


class RuleSync:
    """Brings the log in line with a directory of rule files.

    ``format`` is a registered rule format (``ttp``, ``sigma``, ``raw``). ``source`` names
    the directory within the log, by default by its path: removals and rejections concern
    rules of the same source only. ``filename`` says which base names are rules instead of the
    format's endings, ``max_bytes`` is the size limit of a file. ``by`` is who syncs, for the
    metadata of the events. If every one of several rules would be removed at once, or all of
    several rules with a folder that lies empty, that is refused unless ``allow_empty``: an
    unmounted volume looks just like an empty directory.
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
        by: str | None = None,
    ) -> None:
        self._store = store
        self._root = Path(root).absolute()
        self._standing = StandingRules(source or str(self._root))
        reader = SourceReader(
            self._root,
            format=format,
            filename=filename,
            max_bytes=max_bytes,
            allow_empty=allow_empty,
        )
        check_stream(SOURCES + self._standing.source)
        self._lock = SourceLock(store, self._standing.source)
        self._look = DirectoryLook(
            self._root, self._standing, reader, debounce, allow_empty=allow_empty, by=by
        )
        self._watch: DirectoryWatch | None = None
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
        return self._look.ignored

    @property
    def trouble(self) -> str:
        """Why ``run`` can look at the directory on a timer only; empty while it is not there."""
        return self._watch.trouble if self._watch is not None else ""

    async def sync_once(self) -> SyncReport:
        """Look at the directory until it is at rest, and append what has changed as one commit.

        Needs not own the source: the log is read before the files, and what is appended
        expects the log as it was read, so that the edits of a master that follows the source
        are neither reverted nor repeated. Waits for git's lock and for rest, each look at most
        ``debounce.longest`` seconds; after that, a removal waits (``report.waiting``) while
        files that are at rest are taken. Raises GitLockError, a SourceError, where git holds
        its lock for longer, and SourceError where the directory is missing, or empty without
        ``allow_empty``; bad files raise nothing, they are rejected and reported.
        """
        (report,) = await sync_together([self])
        return report

    async def run(self, on_report: Callable[[SyncReport], None] | None = None) -> None:
        """Reconcile, then follow the directory until cancelled.

        A source has one owner: where another ``run`` of the same source of the same log
        goes on, in any process that can take its place (of this host for a log in a file,
        of any host for one on PostgreSQL), this one stands by, and takes over within a second
        of the other's end. An owner that lost its hold on the source, with its connection,
        stands by in its turn. ``on_report`` is called after each look that appended
        something, and after a first one that has ignored files. Trouble with the directory or
        the log is logged and tried again; it does not end the run. Raises StoreClosedError
        once the store is closed.
        """
        while True:
            try:
                await self._lock.acquire()
                await self._follow_while_owner(on_report)
            finally:
                # In a thread: on PostgreSQL it talks to a server, which may not answer.
                with anyio.CancelScope(shield=True):
                    release = self._lock.release
                    await anyio.to_thread.run_sync(release, limiter=self._limiter)
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
        self._look.watch = watch
        trouble, begun, whole_look = "", False, -math.inf
        try:
            while True:
                seen, pause = watch.count, self._rescan_seconds
                if (now := time.monotonic()) - whole_look >= pause:
                    # Not every change is told: of network file systems, or through mapped memory.
                    self._look.at_everything, whole_look = True, now
                try:
                    report = await self._sync_as_owner()
                    trouble = self._look.restless
                    new = report.position is not None or (report.ignored and not begun)
                    if new and on_report is not None:
                        on_report(report)
                    if not begun:
                        begun = True
                        self._name_standing_rejections()
                except StoreClosedError:
                    raise  # Nothing will ever be appended again.
                except EventStoreError as error:
                    if _kind(error) != trouble:
                        log.warning("%s", error)
                    trouble = _kind(error)
                    if isinstance(error, GitLockError):
                        pause = min(pause, GIT_RETRY_SECONDS)
                # Shown by `eventstore status`, on other hosts too.
                found = trouble or self.trouble or self._note()
                self._lock.report(found, len(self.ignored))
                await watch.wait(seen, pause)
        finally:
            self._look.watch = None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(watch.close, limiter=self._limiter)

    async def _sync_as_owner(self) -> SyncReport:
        # The next owner may have begun already, with other files.
        confirm = self._lock.confirm
        return (await sync_directories(self._store, [self._look], confirm=confirm))[0]

    def _note(self) -> str:
        return NOTE + self._look.note if self._look.note else ""

    def _name_standing_rejections(self) -> None:
        """Log which files are rejected as before: no event will say it again."""
        standing = self._standing.rejected.get(self._standing.source, {})
        for path, rejection in list(standing.items())[:SHOWN_REJECTIONS]:
            since = rejection.since.isoformat(timespec="seconds")
            log.warning("%s: rejected since %s: %s", path, since, rejection.reason)
        if len(standing) > SHOWN_REJECTIONS:
            more = len(standing) - SHOWN_REJECTIONS
            log.warning("%d more files of source %r are rejected", more, self._standing.source)


async def sync_together(masters: Sequence[RuleSync]) -> list[SyncReport]:
    """Look at the directories of several masters of one log once, and append one commit.

    A rule whose file moves from one directory to another is never missing in between. Raises
    what :meth:`RuleSync.sync_once` raises; a directory in trouble holds up the others.
    """
    looks = [master._look for master in masters]  # noqa: SLF001 - of this class
    return await sync_directories(masters[0]._store, looks)  # noqa: SLF001


def _kind(error: EventStoreError) -> str:
    """Return the text by which trouble is known again, without what changes from look to look."""
    if isinstance(error, GitLockError):
        return f"{error.root}: git holds {error.lock}; nothing is taken meanwhile"
    return str(error)


def _refuse_own_log(url: str, root: Path) -> None:
    path = log_file(url)
    if path is not None and path.is_relative_to(root.resolve()):
        raise SourceError(
            root, f"contains the log itself ({path}): put the log outside of what is synced"
        )
