"""What an operator does with a log as a whole: check, redact, export, import, trim, copy.

Arguments, results and errors are described at the methods of :class:`eventstore.EventStore`
that call these.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from eventstore.archive.export import export_to
from eventstore.archive.log_import import NAMED, import_file, refuse_export
from eventstore.archive.targets import check_target
from eventstore.archive.trim import prepare_trim
from eventstore.errors import StorageError
from eventstore.integrity.verify import verify
from eventstore.log.clock import system_clock
from eventstore.log.validation import check_redact, check_seconds
from eventstore.storage.backends import make_backend

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from eventstore.archive.progress import Moved, Progress
    from eventstore.archive.trim import Trimmed, TrimRequest
    from eventstore.changes.feed import ChangeFeed
    from eventstore.integrity.findings import Report
    from eventstore.log.events import Appended, Cursor, Event
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.inline_view import InlineView
    from eventstore.storage.protocols import LockHolder, MovableLog, NamedLock
    from eventstore.store._log_access import LogAccess
    from eventstore.system.waiting import Waiting


class Maintenance:
    """Maintains an open log.

    ``lift`` upcasts an event before a trim's policy sees it. ``make_view`` checks a projection that
    is to be built, and lets it get upcast events.
    """

    def __init__(
        self,
        log: LogAccess,
        feed: ChangeFeed,
        lift: Callable[[Event], Event],
        make_view: Callable[[InlineProjection], InlineView],
    ) -> None:
        self._log = log
        self._make_view = make_view
        self._feed = feed
        self.lift = lift

    async def verify(
        self, anchor: Cursor | None, progress: Progress | None, redactions: Sequence[Event]
    ) -> Report:
        """Check the whole log."""
        return await verify(self._log.backend, self._log.run, anchor, progress, redactions)

    async def redact(self, position: int, reason: str, by: str | None) -> Appended:
        """Erase an event's data and metadata for good."""
        return await self._log.append(check_redact(position, reason, by))

    def named_lock(self, name: str) -> NamedLock | None:
        """Return a lock that all hosts share; ``None`` where the log is on one host only."""
        return self._log.backend.named_lock(name)

    async def named_locks(self) -> list[LockHolder]:
        """Return each of these locks that is held now."""
        return await self._log.run(self._log.backend.named_locks)

    async def export(
        self, file: str | os.PathLike[str] | IO[bytes], progress: Progress, *, replace: bool
    ) -> Moved:
        """Write the whole log into one file."""
        export = partial(export_to, self._log.backend, file, replace=replace)
        return await self._log.run(self._log.how.cancellable(export), progress)

    async def import_from(
        self, file: str | os.PathLike[str] | IO[bytes], progress: Progress
    ) -> Moved:
        """Fill an empty log from an export."""
        read = partial(import_file, self._log.backend, file)
        moved = await self._log.run(self._log.how.cancellable(read), progress)
        await self._log.read_newest()
        self._feed.replaced(moved.position)
        return moved

    async def renew_incarnation(self) -> str:
        """Give the log a new incarnation."""
        await self._log.run(self._log.backend.renew_incarnation)
        await self._log.read_newest()
        return self._log.incarnation

    async def trim(self, request: TrimRequest, progress: Progress) -> Trimmed:
        """Archive and remove the beginning of the log."""
        prepare = partial(prepare_trim, self._log.backend, request, self.lift)
        operation, trimmed = await self._log.run(self._log.how.cancellable(prepare), progress)
        if operation is not None:
            try:
                await self._log.append(operation)
            except StorageError as error:
                # Where it may have been committed all the same, the archive is all that is left.
                if not error.transient and await self._begins_before(trimmed.first_position):
                    await self._log.in_thread(
                        partial(Path(trimmed.archive).unlink, missing_ok=True)
                    )
                raise
        return trimmed

    async def _begins_before(self, position: int) -> bool:
        head = await self._log.in_thread(self._log.backend.head)
        return head.first_position < position

    async def build_view(self, projection: InlineProjection, progress: Progress) -> bool:
        """Build a version of a projection beside the live one."""
        view, head = self._make_view(projection), await self._log.head()

        def tell(left: int) -> None:
            progress(max(0, head.position - left), head.position)

        return await self._log.run(self._log.backend.build_view, view, tell)

    async def swap_view(self, projection: InlineProjection, wait: float) -> bool:
        """Put a version of a projection in the live one's place."""
        wait = check_seconds("wait", wait, zero=True)
        return await self._log.run(self._log.backend.swap_view, self._make_view(projection), wait)

    async def backup(
        self, file: str | os.PathLike[str], progress: Progress, *, replace: bool
    ) -> int:
        """Copy the log's file; return the position that the copy is at."""
        check_target(Path(file), self._log.backend.path, replace=replace, database=True)
        run = partial(self._log.backend.backup, Path(file), replace=replace)
        return await self._log.run(self._log.how.cancellable(run), progress)


async def _check_copy(source: MovableLog, copy: str | os.PathLike[str], how: Waiting) -> None:
    """Close a backup that was opened; raise StorageError unless it is what a log wrote."""
    try:
        report = await verify(source, how.in_thread, None, None)
    finally:
        await how.in_thread(source.close)
    if not report.ok:
        named = "; ".join(map(str, report.findings[:NAMED]))
        more = len(report.findings) + report.more - NAMED
        rest = f"; and {more} more" if more > 0 else ""
        raise StorageError(
            str(copy), f"it is not what a log wrote, and nothing was restored: {named}{rest}"
        )


async def restore(
    copy: str | os.PathLike[str], url: str, progress: Progress, how: Waiting, *, replace: bool
) -> int:
    """Put a backup in the place of a log that is not open here; return the position it is at."""
    backend = make_backend(url, system_clock, ())
    how.start()
    if backend.path is not None:
        await how.in_thread(refuse_export, Path(copy))
    source = await how.in_thread(backend.open_copy, Path(copy))
    if source is not None:
        await _check_copy(source, copy, how)
    run = how.cancellable(partial(backend.restore, Path(copy), replace=replace))
    return await how.in_thread(run, progress)
