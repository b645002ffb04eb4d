"""What a store does with its log as a whole: checked, redacted, moved, trimmed, copied."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, TypeAlias

from eventstore.archive.progress import no_progress
from eventstore.archive.trim import make_request
from eventstore.store._maintenance import restore
from eventstore.system.event_loop import LoopWaiting

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from eventstore.archive.keepers import Keep
    from eventstore.archive.progress import Moved, Progress
    from eventstore.archive.trim import Trimmed
    from eventstore.integrity.findings import Report
    from eventstore.log.events import Appended, Cursor, Event
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.storage.protocols import LockHolder, NamedLock
    from eventstore.store._maintenance import Maintenance

FilePath: TypeAlias = "str | os.PathLike[str]"


class Maintained:
    """What keepers of a log call; :class:`eventstore.EventStore` derives from it."""

    _maintenance: Maintenance

    def named_lock(self, name: str) -> NamedLock | None:
        """Return a lock that all hosts share; ``None`` where the log is on one host only."""
        return self._maintenance.named_lock(name)

    async def named_locks(self) -> list[LockHolder]:
        """Return each of these locks that is held now, by name."""
        return await self._maintenance.named_locks()

    async def verify(
        self,
        *,
        anchor: Cursor | None = None,
        progress: Progress | None = None,
        redactions: Sequence[Event] = (),
    ) -> Report:
        """Check the whole log: every event, the chain, streams, consumers, schema and file.

        Finds what was changed, removed, added or moved without the store; a history that was
        rewritten as a whole needs ``anchor``, a cursor that was kept elsewhere. It changes
        nothing and blocks no writer; a trim meanwhile restarts it. ``progress`` is called with
        the position reached and that of the head. ``redactions`` are events of the log that this
        one is an archive of, read from its stream ``log/redactions`` with ``kept=True``: the
        archive of a trim ends before the redaction of what it has without content. See
        docs/integrity.md.
        """
        return await self._maintenance.verify(anchor, progress, redactions)

    async def redact(self, position: int, reason: str, by: str | None = None) -> Appended:
        """Erase an event's data and metadata for good, and append ``EventRedacted``.

        Both are one transaction. The result is that of the appended event, in the stream
        ``log/redactions``; ``duplicate`` is True if the event was redacted before. The log keeps
        ``reason`` and ``by``: they must not repeat what is to be erased. Raises InvalidInputError
        where no event is at ``position``, and for events of the category ``log/``.
        """
        return await self._maintenance.redact(position, reason, by)

    async def export(
        self, file: FilePath | IO[bytes], *, replace: bool = False, progress: Progress = no_progress
    ) -> Moved:
        """Write the whole log as of now into one file, for :meth:`import_from`.

        ``file`` is a path, under whose name a whole export or nothing appears, or a binary
        stream. ``progress`` is called from a thread with the events done and all events. Raises
        NotEmptyError where the path exists, unless ``replace``; CorruptEventError where the
        log is not what was written.
        """
        return await self._maintenance.export(file, progress, replace=replace)

    async def import_from(
        self, file: FilePath | IO[bytes], *, progress: Progress = no_progress
    ) -> Moved:
        """Fill this empty log from an export: all of it in one transaction, or nothing.

        Log id, positions, ids, times, hashes and checkpoints of consumers are the exported
        ones. Projections are not part of it; rebuild them. Raises ArchiveError for a file that
        is not exactly what was exported, NotEmptyError where this log is not empty.
        """
        return await self._maintenance.import_from(file, progress)

    async def trim(
        self,
        before: int | datetime,
        *,
        archive: FilePath | None = None,
        reason: str = "",
        by: str = "",
        keep: Keep | None = None,
        forgo_rebuild: Collection[str] = (),
        force: bool = False,
        dry_run: bool = False,
        progress: Progress = no_progress,
    ) -> Trimmed:
        """Remove the commits that lie wholly before a position, or before an aware time.

        They go into an archive first: an export, by default beside the log's file. Kept are the
        events that views of installed packages need to be computed again, and those that ``keep``
        chooses besides, for views of the program itself: ``serving`` of
        :mod:`eventstore.archive.keepers` says for which. One transaction keeps these, raises the
        first position and appends ``HistoryTrimmed`` to the stream ``log/trims``. From then on
        reading below it raises HistoryGoneError. ``dry_run`` returns what would be done, without a
        checksum, and changes and writes nothing.

        Raises ViewNotKeptError for a view in the log's database, or of an installed package, for
        which no keeper says what it needs, unless ``forgo_rebuild`` names it: it can then be
        computed again only with the archives. Raises HistoryHeldError where a named consumer, or a
        projection in the log's database that this store does not keep, has not come so far.
        ``force`` passes all of these over. Raises NotEmptyError where the archive exists.
        """
        request = make_request(
            before,
            archive,
            reason,
            by,
            keep,
            force=force,
            dry_run=dry_run,
            forgo_rebuild=forgo_rebuild,
        )
        return await self._maintenance.trim(request, progress)

    async def renew_incarnation(self) -> str:
        """Tell this log apart from the one that it was copied from; return its new incarnation.

        For a copy that was made by other means than :meth:`backup`, :meth:`restore` and
        :meth:`import_from`, before it is used: processes that follow either log believe no
        wake-ups of the other. Cursors stay good. Stores that are open keep the old one.
        """
        return await self._maintenance.renew_incarnation()

    async def build_view(
        self, projection: InlineProjection, *, progress: Progress = no_progress
    ) -> bool:
        """Build a version of a table projection beside the live one, without swapping them.

        Its tables are in the log's database. Returns once it is at the head; the next process that
        opens the log with this version inline, or :meth:`swap_view`, applies the rest and swaps.
        What is built stays where this is cancelled or killed, and the next call goes on with it.
        Returns False where the live version is this one. Raises ProjectionVersionError where it is
        a newer one, ProjectionError where an event cannot be applied (the build is then removed),
        and ConfigError for tables that cannot be built beside others.
        """
        return await self._maintenance.build_view(projection, progress)

    async def swap_view(self, projection: InlineProjection, *, wait: float = 30.0) -> bool:
        """Put a version of a table projection in the live one's place, in one transaction.

        What is missing of it is built before. Returns False where the live version is this one.
        Raises what :meth:`build_view` does, and on PostgreSQL ProjectionHeldError where other
        sessions hold the old tables for ``wait`` seconds; it names them, and what is built stays.
        """
        return await self._maintenance.swap_view(projection, wait)

    async def backup(
        self, file: FilePath, *, replace: bool = False, progress: Progress = no_progress
    ) -> int:
        """Copy the log's file, inline projections included; return the position it is at.

        Writers go on meanwhile. The copy is a log of its own, or comes back by :meth:`restore`.
        Raises ConfigError, saying what to use, where the log is no file.
        """
        return await self._maintenance.backup(file, progress, replace=replace)

    @classmethod
    async def restore(
        cls, copy: FilePath, url: str, *, replace: bool = False, progress: Progress = no_progress
    ) -> int:
        """Put a backup in the place of the log at ``url``; return the position it is at.

        A log that is there raises NotEmptyError; with ``replace`` it is overwritten in one
        transaction, and subscriptions beyond the copy get HistoryDivergedError.
        """
        return await restore(copy, url, progress, LoopWaiting(), replace=replace)
