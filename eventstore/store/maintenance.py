"""What an operator does with a log: check it, erase from it, move it, cut its beginning off."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import anyio

from eventstore.archive import transfer as moving
from eventstore.archive import trim as retention
from eventstore.archive.transfer import cancellable, no_progress
from eventstore.archive.trim import Keep, keep_nothing
from eventstore.integrity import verify as verifying
from eventstore.log.clock import system_clock
from eventstore.log.validation import check_redact
from eventstore.storage.backends import make_backend
from eventstore.system.event_loop import wait_future

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from concurrent.futures import Future
    from datetime import datetime

    from eventstore.archive.transfer import Moved, Progress
    from eventstore.archive.trim import Trimmed
    from eventstore.integrity.checks import Report
    from eventstore.log.events import Appended, Cursor, Event
    from eventstore.log.operations import Operation
    from eventstore.storage.protocols import LockHolder, MovableLog, NamedLock

T = TypeVar("T")


class Upkeep(ABC):
    """The part of :class:`~eventstore.EventStore` that looks after the log as a whole."""

    _backend: MovableLog
    _lift: Callable[[Event], Event]

    @abstractmethod
    def _submit(self, operation: Operation) -> Future[Any]:
        """Give the writer an operation; raise StoreClosedError where the store is not open."""

    @abstractmethod
    def _see(self, cursor: Cursor) -> None:
        """Remember the newest head."""

    @abstractmethod
    async def _became(self, moved: Moved) -> None:
        """Take note that the log has another content now."""

    @abstractmethod
    async def _run(self, function: Callable[..., T], *args: Any) -> T:
        """Run a function in a thread of the store's."""

    async def verify(
        self, *, anchor: Cursor | None = None, progress: Progress | None = None
    ) -> Report:
        """Check the whole log: every event, the chain, the books, the schema, the file.

        Finds whatever was changed, removed, added or moved behind the log's back, unless
        the whole history was written anew: against that helps ``anchor``, a cursor that was
        kept elsewhere. It changes nothing and hinders nobody; history that is trimmed
        meanwhile begins it again. ``progress`` is called with the position reached and that
        of the head. What it promises, and what not, is in docs/integrity.md.
        """
        return await verifying.verify(self._backend, self._run, anchor, progress)

    async def redact(self, position: int, reason: str, by: str | None = None) -> Appended:
        """Erase an event's data and metadata for good, and append ``EventRedacted``.

        Both are one transaction. The result is that of the appended event, in the stream
        ``log/redactions``; an event that was redacted before stays so, ``duplicate`` is then
        True and nothing is appended. ``reason`` and ``by`` are kept in the log: they must not
        repeat what is to be forgotten. Raises InvalidInputError where no event is at
        ``position``, and for an event that the log wrote about itself (``log/``).
        """
        redact = check_redact(position, reason, by)
        appended: Appended = await wait_future(self._submit(redact))
        self._see(appended.cursor)
        return appended

    def named_lock(self, name: str) -> NamedLock | None:
        """Return a lock that all hosts share; ``None`` where the log is on one host only."""
        return self._backend.named_lock(name)

    async def named_locks(self) -> list[LockHolder]:
        """Return each of these locks that somebody holds now, by name."""
        return await self._run(self._backend.named_locks)

    async def export(
        self,
        file: str | os.PathLike[str] | IO[bytes],
        *,
        replace: bool = False,
        progress: Progress = no_progress,
    ) -> Moved:
        """Write the whole log as of now into one file, for :meth:`import_from`.

        ``file`` is a path, under whose name a whole export or nothing appears, or a binary
        stream. ``progress`` is told events done and all, from a thread. Raises NotEmptyError
        where the path exists, unless ``replace``; CorruptEventError where the log is not
        what was written.
        """
        return await self._run(
            cancellable(partial(moving.export_to, self._backend, file, replace=replace)), progress
        )

    async def import_from(
        self, file: str | os.PathLike[str] | IO[bytes], *, progress: Progress = no_progress
    ) -> Moved:
        """Become the log that an export holds: all of it in one transaction, or nothing.

        Positions, ids, times, hashes, the log's identity and the consumers' cursors are those
        of the exported log. Views are not part of it; rebuild them. Raises ArchiveError for a
        file that is not exactly what was exported, NotEmptyError where this log is not empty.
        """
        moved = await self._run(
            cancellable(partial(moving.import_file, self._backend, file)), progress
        )
        await self._became(moved)
        return moved

    async def trim(
        self,
        before: int | datetime,
        *,
        archive: str | os.PathLike[str] | None = None,
        reason: str = "",
        by: str = "",
        keep: Keep = keep_nothing,
        force: bool = False,
        progress: Progress = no_progress,
    ) -> Trimmed:
        """Take away the commits that lie wholly before a position, or before an aware time.

        They go into an archive first: an export, by default beside the log's file. Of them
        ``keep`` chooses the events that views still need; none where it is not given. Then
        one transaction keeps those, raises the first position and appends ``HistoryTrimmed``
        to the stream ``log/trims``. Reading below it is HistoryGoneError from then on.

        Raises HistoryHeldError where a named consumer has not come so far, unless ``force``,
        and NotEmptyError where the archive exists.
        """
        request = retention.make_request(before, archive, reason, by, keep, force=force)
        operation, trimmed = await self._run(
            cancellable(partial(retention.prepare_trim, self._backend, request, self._lift)),
            progress,
        )
        if operation is not None:
            self._see((await wait_future(self._submit(operation))).cursor)
        return trimmed

    async def backup(
        self,
        file: str | os.PathLike[str],
        *,
        replace: bool = False,
        progress: Progress = no_progress,
    ) -> int:
        """Copy the log's file, views included, as of one moment; return the position it is at.

        Writers go on meanwhile. The copy is a log of its own, or comes back by
        :meth:`restore`. Raises ConfigError, saying what to use, where the log is no file.
        """
        moving.check_free(Path(file), replace=replace)
        return await self._run(cancellable(partial(self._backend.backup, Path(file))), progress)

    @classmethod
    async def restore(
        cls,
        copy: str | os.PathLike[str],
        url: str,
        *,
        replace: bool = False,
        progress: Progress = no_progress,
    ) -> int:
        """Put a backup in the place of the log at ``url``; return the position it is at.

        With ``replace`` a log that is there is overwritten in one transaction; followers that
        had come further than the copy get HistoryDivergedError. Raises NotEmptyError without.
        """
        backend = make_backend(url, system_clock, ())
        run = cancellable(partial(backend.restore, Path(copy), replace=replace))
        return await anyio.to_thread.run_sync(run, progress)
