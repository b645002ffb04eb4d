"""One directory's part of a look: what its files mean, and whether it is at rest.

Every look at a source goes through this class, whether a master follows the directory or a
command looks once. It waits for git's lock and for rest, both up to ``DebounceTimes.longest``.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from eventstore.system.printable import escape_path
from projections.rules.sources._settled_part import settled_part
from projections.rules.sources.debounce import Debounce, DebounceTimes, FileRest
from projections.rules.sources.git_history import describe_files
from projections.rules.sources.git_lock import GitLock, GitLockError, GitLockMonitor
from projections.rules.sources.lease import source_owners
from projections.rules.sources.reconcile import Verdict
from projections.rules.sources.source_error import SourceError
from projections.rules.sources.sync_report import SyncReport, report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from eventstore import EventStore
    from projections.rules.sources._source_reader import SourceReader
    from projections.rules.sources.ignored_files import IgnoredFile
    from projections.rules.sources.watch import DirectoryWatch
    from projections.rules.standing_rules import StandingRules

log = logging.getLogger(__name__)
_T = TypeVar("_T")

HANDOVER_SECONDS: Final = 0.5
"""Rest of a removal where another source of the log has a master: time to claim the rule."""

LOCK_POLL_SECONDS: Final = 0.05
"""Shortest time between two looks while git holds its lock, in seconds."""


class DirectoryLook:
    """Looks at one directory until it is at rest, and holds the verdict.

    Use: :meth:`begin`, then :meth:`take` until :meth:`seconds_to_rest` is 0, then
    :meth:`reduce_to_rest`; ``verdict`` is then what to append.
    """

    def __init__(
        self,
        root: Path,
        standing: StandingRules,
        reader: SourceReader,
        times: DebounceTimes,
        *,
        allow_empty: bool,
        by: str | None = None,
    ) -> None:
        self.root = root
        self.standing = standing
        self.verdict = Verdict()
        self.waiting = 0
        self.note = ""
        self.watch: DirectoryWatch | None = None
        """Tells which paths have changed, while a master follows the directory."""
        self.at_everything = True
        """Whether the next look is one at every file, whatever has changed."""
        self._by = {"by": by} if by else {}
        self._commits: dict[str, dict[str, Any]] = {}
        self._reader = reader
        self._times = times
        self._allow_empty = allow_empty
        self._git = GitLockMonitor(root)
        self._lock: GitLock | None = None
        self._took, self._hints = 0.0, 0
        self._named = False
        self._counts = False
        self._failure: SourceError | None = None
        self._handover = False
        self._limiter = anyio.CapacityLimiter(1)
        self._debounce, self._rest = Debounce(times), FileRest()

    def begin(self, *, single: bool = False) -> None:
        """Begin a wait for rest.

        Only a ``single`` look records the number of ignored files: while a master follows, an
        editor's files beside a rule cause no commit.
        """
        self._counts = single
        self.at_everything = self.at_everything or single
        self._debounce = Debounce(self._times)
        self._rest = FileRest()
        self.waiting = 0

    async def take(self, store: EventStore) -> None:
        """Refresh what stands from the log, and compare the files with it.

        Raises SourceError where the directory cannot be taken as it is and git holds no lock.
        """
        await self.standing.refresh(store)
        await self.in_thread(self._look)
        if self._failure is not None and self._lock is None:
            raise self._failure
        self.verdict.ignored = len(self._reader.ignored) if self._counts else None
        self._rest.see(self._reader.files)
        self._handover = bool(self.verdict.removed) and await self._has_neighbours(store)

    def is_done(self, *, single: bool) -> bool:
        """Return whether there is nothing to append.

        A ``single`` look is not done while git holds its lock; a master looks again anyway.
        """
        verdict = self.verdict
        if verdict.changes_anything or verdict.changing or self._failure:
            return False
        if single and self._lock is not None:
            return False
        return not verdict.counts_anew(self.standing)

    def seconds_to_rest(self) -> float:
        """Return the seconds to wait before the next :meth:`take`; 0 at rest or at the limit."""
        wait = self._debounce.wait(
            self._reader.files,
            incomplete=self.verdict.incomplete,
            busy=self._lock is not None or self.verdict.changing > 0,
            at_least=HANDOVER_SECONDS if self._handover else None,
            again=self._named,
        )
        return max(wait, LOCK_POLL_SECONDS) if wait > 0 and self._lock is not None else wait

    async def pause(self, seconds: float) -> None:
        """Wait so long for rest; end early after a change, while a master follows.

        What was half a file is whole then, and rests for a shorter time. No wait is shorter than
        the look before took: where changes never end, looking takes half of the time at most.
        """
        least = max(self._times.whole, self._took)
        if self.watch is None or seconds <= least:
            await anyio.sleep(seconds)
            return
        await anyio.sleep(least)
        await self.watch.wait(self._hints, seconds - least)

    def reduce_to_rest(self) -> None:
        """Reduce the verdict to what can be taken.

        Raises GitLockError where git still holds its lock.
        """
        if self._debounce.overdue:
            if self._lock is not None:
                raise GitLockError(self.root, self._lock.path, self._lock.age)
            settled = self._rest.settled(self._times.incomplete)
            self.verdict, self.waiting = settled_part(self.verdict, self.standing, settled)

    def refuse_to_remove_all(self) -> None:
        """Raise SourceError where every rule would go and that is not allowed."""
        if self.verdict.loses_everything and not self._allow_empty:
            raise SourceError(
                self.root,
                f"holds no rules any more, but {len(self.verdict.removed)} stand in the log; they "
                "stay: if the directory is really meant to be empty, say so with --allow-empty",
            )

    async def name_removed(self) -> None:
        """Log each rule that was removed because its file got a name that is ignored."""
        if not self.verdict.removed:
            return
        found = await self.in_thread(partial(self._reader.removed_by_name, self.verdict))
        for rule, file in found:
            path = escape_path(file.path)
            log.warning("rule %r is removed: its file %r %s", rule.rule_id, path, file.reason)

    @property
    def ignored(self) -> tuple[IgnoredFile, ...]:
        """The files that the latest look has passed over by their names, sorted by path."""
        return self._reader.ignored

    @property
    def restless(self) -> str:
        """Why changes wait; empty where none does."""
        if not self.waiting:
            return ""
        changes = f"{self.waiting} change{'' if self.waiting == 1 else 's'}"
        seconds = f"{self._times.longest:g} s"
        return f"{self.root} did not come to rest within {seconds}: {changes} wait"

    async def read_commits(self) -> None:
        """Ask git, if this is a work tree, which commits the files of the verdict come from."""
        defined = {parsed.file.path: parsed.content for parsed in self.verdict.defined}
        defined |= {
            one.path: one.claim.content for one in self.verdict.rejected if one.claim is not None
        }
        removed = [rule.path for rule in self.verdict.removed if rule.path not in defined]
        self._commits = {}
        if defined or removed:
            read = partial(describe_files, self.root, defined, removed)
            self._commits = await self.in_thread(read)

    def metadata_of(self, path: str) -> Mapping[str, Any] | None:
        """Return the metadata of the event about a file: who synced it, and git's commit."""
        commit = self._commits.get(path)
        return (self._by | ({} if commit is None else {"git": commit})) or None

    def report(self, position: int | None) -> SyncReport:
        """Return what the look found."""
        return report_of(self.verdict, position, ignored=len(self.ignored), waiting=self.waiting)

    async def in_thread(self, function: Callable[[], _T]) -> _T:
        """Call a function that blocks; one at a time."""
        return await anyio.to_thread.run_sync(function, limiter=self._limiter)

    def _look(self) -> None:
        # Before anything is looked at: what changes meanwhile is named to the next look.
        changed = None
        if self.watch is not None:
            self._hints, changed = self.watch.count, self.watch.take()
        began = time.monotonic()
        changed = None if self.at_everything else changed
        self._compare(changed)
        if self._failure is not None and self._lock is None:
            # A checkout may have removed the root and ended since: what is there now counts.
            self._compare(None)
        # The rest begins at the end of this look: what changed meanwhile is not known yet, and a
        # checkout may have ended, and let go of its lock, between the watch and the lock.
        self._named = self._reader.by_paths and not (changed or frozenset()).isdisjoint(
            self._reader.files
        )
        self._took = time.monotonic() - began

    def _compare(self, changed: frozenset[str] | None) -> None:
        # The lock is read before the files and after them: git may begin or end meanwhile.
        before = self._find_lock()
        self._failure = None
        try:
            self.verdict = self._reader.look(self.standing, changed)
        except SourceError as error:
            self.verdict, self._failure = Verdict(), error
        else:
            self.at_everything = False
        self._lock = self._find_lock() or before

    def _find_lock(self) -> GitLock | None:
        """Return the lock that git holds; a stale one is noted once and ignored."""
        verdict = self.verdict
        paths = [rule.path for rule in verdict.removed]
        paths += [parsed.file.path for parsed in verdict.defined]
        lock = self._git.find({path.rpartition("/")[0] for path in paths})
        if lock is None or not lock.stale:
            self.note = ""
            return lock
        if not self.note:
            log.warning("%s: git's lock %s", self.root, lock)
        self.note = f"git's lock {lock}"
        return None

    async def _has_neighbours(self, store: EventStore) -> bool:
        owners = await source_owners(store)
        return any(owner.name != self.standing.source for owner in owners)
