"""What is wrong with runs of projections, told to ``status`` of every process.

A run that fails and is tried again holds a lock until it works again, and the lock has a note.
Where the log is a file the lock is one on a file beside it (``NAME-projection-DIGEST``), on
PostgreSQL one of the log's named locks. The system releases it with the process, however that
ended, and nothing is appended to the log.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import msgspec

from eventstore.errors import StorageError
from eventstore.storage.sqlite.paths import log_file
from eventstore.system.file_lock import FileLock
from eventstore.system.secret_text import conceal
from projections.lock_files import decode_note, held_notes, lock_path, name_digest

if TYPE_CHECKING:
    from eventstore import EventStore

log = logging.getLogger(__name__)

KIND: Final = "projection"
"""Part of the names of the files, and of the names of locks on PostgreSQL."""

MOST_CHARACTERS: Final = 1_000
"""Characters of a place that are told."""

ROOM: Final = 16_384
"""Bytes that a lock file takes from the beginning: a disk that is full later has room for them."""

_in_memory: WeakKeyDictionary[EventStore, dict[TroubleNote, Trouble]] = WeakKeyDictionary()


class Trouble(msgspec.Struct, frozen=True):
    """A run of a projection that fails and is tried again, by the process ``owner``."""

    projection: str
    place: str
    """The directory or the database, without a password; empty where it is not known."""
    owner: str
    reason: str


class TroubleNote:
    """What one run of a projection tells of its trouble. No method raises.

    Called from one thread at a time. What the file system or the log's database does not take is
    not told. Of several runs with one name and place, on one host, one is told of at a time.
    """

    def __init__(self, store: EventStore, projection: Any) -> None:
        self._store = store
        self._name = projection.name
        self._place = conceal(str(getattr(projection, "place", "")))[:MOST_CHARACTERS]
        name = f"{self._name}\0{self._place}"
        self._path = lock_path(store, KIND, name)
        digest = name_digest(f"{socket.gethostname()}\0{name}")
        self._shared = store.named_lock(f"{KIND}/{digest}")
        self._file: FileLock | None = None
        self._held = False

    def open(self) -> None:
        """Make the file that takes the note, where there is one."""
        if self._path is None:
            return
        try:
            self._file = FileLock(self._path, log_file(self._store.url))
            if self._file.try_acquire():
                self._file.write_note(b"".ljust(ROOM))
                self._file.release()
        except OSError as error:
            log.info("status is not told of projection %r: %s", self._name, error)

    def tell(self, reason: str) -> None:
        """Tell why the run fails; an empty reason is that it works again."""
        try:
            if self._shared is not None:
                self._tell_all_hosts(reason)
            elif self._file is not None:
                self._write(self._file, reason)
            elif self._path is None:
                self._remember(reason)
        except (OSError, StorageError) as error:
            log.info("status is not told of projection %r: %s", self._name, error)

    def close(self) -> None:
        """Tell nothing any more."""
        self.tell("")
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _tell_all_hosts(self, reason: str) -> None:
        lock = self._shared
        assert lock is not None  # noqa: S101
        if not reason:
            lock.release()
            self._held = False
            return
        try:
            self._held = self._held or lock.try_acquire(self._store.owner)
            if self._held:
                lock.check(self._encode(reason).decode())
        except StorageError:
            self._held = False
            raise

    def _write(self, file: FileLock, reason: str) -> None:
        if reason:
            self._held = self._held or file.try_acquire()
            if self._held:
                file.write_note(self._encode(reason))
        elif self._held:
            self._held = False
            file.release()

    def _remember(self, reason: str) -> None:
        told = _in_memory.setdefault(self._store, {})
        if reason:
            told[self] = self._trouble(reason)
        else:
            told.pop(self, None)

    def _trouble(self, reason: str) -> Trouble:
        return Trouble(self._name, self._place, self._store.owner, reason)

    def _encode(self, reason: str) -> bytes:
        return msgspec.json.encode(self._trouble(reason))


async def read_troubles(store: EventStore) -> list[Trouble]:
    """Return what is wrong with runs of projections now, by projection and place."""
    notes = [
        lock.note.encode(errors="replace")
        for lock in await store.named_locks()
        if lock.name.startswith(f"{KIND}/")
    ]
    found = list(_in_memory.get(store, {}).values())
    told = [decode_note(note, Trouble) for note in (*notes, *held_notes(store, KIND))]
    found += [trouble for trouble in told if trouble is not None]
    return sorted(found, key=lambda one: (one.projection, one.place, one.owner))
