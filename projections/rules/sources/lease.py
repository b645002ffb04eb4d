"""One owner per source: two masters on one directory would undo each other's work.

Where the log is a file, the owner holds an advisory lock on a file beside it
(``NAME-source-DIGEST``), which the system releases with the process, however it ended.
Where it is on PostgreSQL, the owner's session there holds a lock for all hosts, and the
owner checks every second that it still does. A log in memory belongs to one process, and so
do its sources.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

import anyio
import msgspec

from eventstore.errors import StorageError, StoreClosedError
from eventstore.storage.sqlite.paths import log_file
from eventstore.system.file_lock import FileLock
from projections.lock_files import decode_note, held_notes, lock_path
from projections.rules.standing_rules import read_ignored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore import EventStore

log = logging.getLogger(__name__)

STANDBY_SECONDS: Final = 0.5
"""Seconds between two attempts of a master that stands by to acquire the source."""

HEARTBEAT_SECONDS: Final = 1.0
"""Seconds between two checks of an owner that it still holds the source, where it can be lost."""

KIND: Final = "source"
"""Part of the names of sources' lock files."""

NAMESPACE: Final = f"{KIND}/"
"""Prefix of the names of sources' locks."""

NOTE: Final = "note: "
"""Begins what an owner reports that is worth knowing and not wrong."""

_IGNORED: Final = " files are ignored"
"""Ends the note of an owner on PostgreSQL, which is one text, if it says nothing else."""

_in_memory: WeakKeyDictionary[EventStore, dict[str, SourceLock]] = WeakKeyDictionary()
_guard = threading.Lock()


class _Note(msgspec.Struct):
    """What the lock file says about its owner."""

    source: str
    owner: str
    trouble: str = ""
    ignored: int = 0


class SourceOwner(NamedTuple):
    """Who follows a source, and what is wrong with that; ``trouble`` is empty where nothing is.

    ``ignored`` counts the files that are no rules by their names.
    """

    name: str
    owner: str
    trouble: str
    ignored: int = 0


class SourceLock:
    """The right to follow ``source`` into the log of ``store``.

    ``owner`` is the owner as last read: ``HOST:PID``, empty where none is known.
    """

    def __init__(self, store: EventStore, source: str) -> None:
        self._store = store
        self._source = source
        self._path = lock_path(store, KIND, source)
        self._shared = store.named_lock(NAMESPACE + source)
        # The lock's connection answers one question at a time.
        self._limiter = anyio.CapacityLimiter(1)
        self._file: FileLock | None = None
        self.owner = ""
        self.trouble = ""
        self.ignored = 0

    def try_acquire(self) -> bool:
        """Acquire the source unless it has an owner; return whether that succeeded.

        Raises StorageError where the lock file cannot be made, or the database fails.
        """
        if self._shared is not None:
            taken: bool = self._shared.try_acquire(self._store.owner)
            self.owner = self._shared.owner
            return taken
        if self._path is None:
            with _guard:
                holder = _in_memory.setdefault(self._store, {}).setdefault(self._source, self)
            self.owner = self._store.owner
            return holder is self
        try:
            file = FileLock(self._path, log_file(self._store.url))
            if not file.try_acquire():
                self.owner = _decode(file.read_note()).owner
                file.close()
                return False
        except OSError as error:
            raise StorageError(f"lock of source {self._source!r}", str(error)) from error
        self._file, self.owner = file, self._store.owner
        self._write_note()
        return True

    def report(self, trouble: str, ignored: int = 0) -> None:
        """Publish what is wrong with the owner's work, for ``status``; empty once nothing is.

        ``ignored`` counts the files that the latest look has passed over by their names.
        """
        if (trouble, ignored) != (self.trouble, self.ignored):
            self.trouble, self.ignored = trouble, ignored
            self._write_note()

    def _write_note(self) -> None:
        if self._file is None:
            return
        note = msgspec.json.encode(_Note(self._source, self.owner, self.trouble, self.ignored))
        with suppress(OSError):  # A full disk does not end following.
            self._file.write_note(note)

    async def acquire(self) -> None:
        """Acquire the source, waiting as long as it has another owner.

        Logs once that this one stands by, and that it took over. Raises
        StoreClosedError once the store is closed.
        """
        trouble, waits = "", 0
        while not self._store.closed:
            try:
                if await anyio.to_thread.run_sync(self.try_acquire):
                    if waits > 1:
                        log.warning("took over source %r", self._source)
                    return
                waits += 1
                # Not at the first time: a process that reads the owner holds the lock briefly.
                found = f"is followed by {self.owner}; standing by" if waits > 1 else trouble
            except StorageError as error:
                found = str(error)
            if found != trouble:
                log.warning("source %r %s", self._source, found)
            trouble = found
            await anyio.sleep(STANDBY_SECONDS)
        raise StoreClosedError(f"the store {self._store.url} is closed")

    async def end_when_lost(self, scope: anyio.CancelScope) -> None:
        """Cancel ``scope`` and return once the source is lost; a lock of this process never is."""
        if self._shared is None:
            return  # A lock of this process ends with it, and not before.
        while True:
            await anyio.sleep(HEARTBEAT_SECONDS)
            try:
                await self.confirm()
            except StorageError as error:
                log.warning("source %r may have another owner now: %s", self._source, error)
                scope.cancel()
                return

    async def confirm(self) -> None:
        """Raise StorageError once the source is lost."""
        if self._shared is not None:
            check = self._shared.check
            await anyio.to_thread.run_sync(check, self._shared_note(), limiter=self._limiter)

    def _shared_note(self) -> str:
        """Return the one text that others may read, where the lock is the database's."""
        if self.ignored and not self.trouble:
            return f"{NOTE}{self.ignored}{_IGNORED}"
        return self.trouble

    def release(self) -> None:
        """Release the source, if it is held.

        The lock file stays: with two files of that name there could be two owners.
        """
        if self._shared is not None:
            self._shared.release()
            return
        if self._path is None:
            with _guard:
                owners = _in_memory.get(self._store, {})
                if owners.get(self._source) is self:
                    del owners[self._source]
            return
        file, self._file = self._file, None
        if file is not None:
            file.close()


async def source_owners(store: EventStore) -> list[SourceOwner]:
    """Return each source of the log that a master follows now, with its owner."""
    held = [
        _shared_owner(lock.name.removeprefix(NAMESPACE), lock.owner, lock.note)
        for lock in await store.named_locks()
        if lock.name.startswith(NAMESPACE)
    ]
    return held or list(_owners_on_this_host(store))


async def ignored_counts(store: EventStore) -> dict[str, int]:
    """Return how many files the latest look at each source has ignored, where there were any.

    A master says what it ignores now; of other sources the log knows what it was last told.
    """
    counts = await read_ignored(store)
    for source in await source_owners(store):
        if source.ignored or not source.trouble:  # On PostgreSQL trouble stands in its place.
            counts[source.name] = source.ignored
    return {source: count for source, count in sorted(counts.items()) if count}


def _shared_owner(name: str, owner: str, note: str) -> SourceOwner:
    count = note.removeprefix(NOTE).removesuffix(_IGNORED)
    if note == f"{NOTE}{count}{_IGNORED}" and count.isdecimal():
        return SourceOwner(name, owner, "", int(count))
    return SourceOwner(name, owner, note)


def _owners_on_this_host(store: EventStore) -> Iterator[SourceOwner]:
    for source, holder in sorted(_in_memory.get(store, {}).items()):
        yield SourceOwner(source, holder.owner, holder.trouble, holder.ignored)
    for held in held_notes(store, KIND):
        note = _decode(held)
        if note.source:
            yield SourceOwner(note.source, note.owner, note.trouble, note.ignored)


def _decode(note: bytes) -> _Note:
    return decode_note(note, _Note) or _Note("", "")
