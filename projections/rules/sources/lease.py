"""One owner per source: two masters on one directory would undo each other's work.

Where the log is a file, the owner holds an advisory lock on a file beside it
(``NAME-source-DIGEST``), which the system releases with the process, however it ended.
Where it is on PostgreSQL, the owner's session there holds a lock for all hosts, and the
owner asks every second whether it still does. A log in memory belongs to one program, and so
do its sources.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

import anyio
import msgspec

from eventstore.errors import StorageError, StoreClosedError
from eventstore.storage.sqlite.paths import log_file
from eventstore.system.file_lock import FileLock, read_held_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from eventstore import EventStore

log = logging.getLogger(__name__)

STANDBY_SECONDS: Final = 0.5
"""How often a master that stands by looks whether the owner has gone."""

HEARTBEAT_SECONDS: Final = 1.0
"""How often an owner asks whether the source is still its own, where it can be lost."""

NAMESPACE: Final = "source/"
"""What the names of sources' locks begin with."""

_in_memory: WeakKeyDictionary[EventStore, dict[str, SourceLock]] = WeakKeyDictionary()
_guard = threading.Lock()


class _Note(msgspec.Struct):
    """What the lock file says, for people who ask who holds it."""

    source: str
    owner: str
    trouble: str = ""


class SourceOwner(NamedTuple):
    """Who follows a source, and what keeps them from doing it well; empty where nothing does."""

    name: str
    owner: str
    trouble: str


class SourceLock:
    """The right to follow ``source`` into the log of ``store``.

    ``owner`` is who has it, as last seen: ``HOST:PID``, empty where nobody is known to.
    """

    def __init__(self, store: EventStore, source: str) -> None:
        self._store = store
        self._source = source
        self._path = _lock_path(store, source)
        self._shared = store.named_lock(NAMESPACE + source)
        # The lock's connection answers one question at a time.
        self._limiter = anyio.CapacityLimiter(1)
        self._file: FileLock | None = None
        self.owner = ""
        self.trouble = ""

    def try_acquire(self) -> bool:
        """Take the source unless somebody else has it; say whether that worked.

        Raises StorageError where the lock file cannot be made, or the database fails.
        """
        if self._shared is not None:
            taken: bool = self._shared.try_acquire(self._store.owner)
            self.owner = self._shared.owner
            return taken
        if self._path is None or sys.platform == "win32":
            with _guard:
                holder = _in_memory.setdefault(self._store, {}).setdefault(self._source, self)
            self.owner = self._store.owner
            return holder is self
        try:
            file = FileLock(self._path)
            if not file.try_acquire():
                self.owner = _decode(file.read_note()).owner
                file.close()
                return False
        except OSError as error:
            raise StorageError(f"lock of source {self._source!r}", str(error)) from error
        self._file, self.owner = file, self._store.owner
        self._write_note()
        return True

    def report(self, trouble: str) -> None:
        """Tell whoever asks for the owner what is wrong; empty once nothing is."""
        if trouble != self.trouble:
            self.trouble = trouble
            self._write_note()

    def _write_note(self) -> None:
        if self._file is None:
            return
        note = msgspec.json.encode(_Note(self._source, self.owner, self.trouble))
        with suppress(OSError):  # A full disk keeps nobody from following.
            self._file.write_note(note)

    async def acquire(self) -> None:
        """Take the source, waiting for as long as somebody else has it.

        Says once on the log that this one stands by, and that it took over. Raises
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
                # Not at the first time: that may be somebody who only asked for the owner.
                found = f"is followed by {self.owner}; standing by" if waits > 1 else trouble
            except StorageError as error:
                found = str(error)
            if found != trouble:
                log.warning("source %r %s", self._source, found)
            trouble = found
            await anyio.sleep(STANDBY_SECONDS)
        raise StoreClosedError(f"the store {self._store.url} is closed")

    async def end_when_lost(self, scope: anyio.CancelScope) -> None:
        """Cancel ``scope`` once the source is not this owner's any more; then, or never, return."""
        if self._shared is None:
            return  # A lock of this process ends with it, and not before.
        while True:
            await anyio.sleep(HEARTBEAT_SECONDS)
            try:
                await self.confirm()
            except StorageError as error:
                log.warning("source %r may be somebody else's now: %s", self._source, error)
                scope.cancel()
                return

    async def confirm(self) -> None:
        """Raise StorageError once the source is not this owner's any more."""
        if self._shared is not None:
            check = self._shared.check
            await anyio.to_thread.run_sync(check, self.trouble, limiter=self._limiter)

    def release(self) -> None:
        """Give the source up, if it is held. The lock file stays: removing it would split it."""
        if self._shared is not None:
            self._shared.release()
            return
        if self._path is None or sys.platform == "win32":
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
        SourceOwner(lock.name.removeprefix(NAMESPACE), lock.owner, lock.note)
        for lock in await store.named_locks()
        if lock.name.startswith(NAMESPACE)
    ]
    return held or list(_owners_on_this_host(store))


def _owners_on_this_host(store: EventStore) -> Iterator[SourceOwner]:
    path = log_file(store.url)
    if path is None or sys.platform == "win32":
        for source, holder in sorted(_in_memory.get(store, {}).items()):
            yield SourceOwner(source, holder.owner, holder.trouble)
        return
    for lock in sorted(path.parent.glob(f"{_glob_safe(path.name)}-source-*")):
        with suppress(OSError):
            held = read_held_note(lock)
            note = _decode(held or b"")
            if note.source:
                yield SourceOwner(note.source, note.owner, note.trouble)


def _decode(note: bytes) -> _Note:
    try:
        return msgspec.json.decode(note, type=_Note)
    except msgspec.MsgspecError:
        return _Note("", "")  # Its owner has only just taken it.


def _lock_path(store: EventStore, source: str) -> Path | None:
    path = log_file(store.url)
    if path is None:
        return None
    # A digest: a source is named like a path, and a file is not.
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return path.with_name(f"{path.name}-source-{digest}")


def _glob_safe(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
