"""Times that would cost an event each: kept beside the log, the newest for each key.

A registration that is read, or a session that says it lives, moves a time and nothing else. No
event tells of it: the table ``touched`` holds the times, in the log's own database, written
together within 200 ms by the thread that writes appends. A process that is killed loses those
of its last moment, and a rebuilt view keeps all, because they were never in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Column, MetaData, Table, delete
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.errors import StoreClosedError
from projections.checkpoints import ByteOrder, home_only

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Connection

    from eventstore import EventStore

log = logging.getLogger(__name__)

_beside = MetaData()

touched_table: Final = Table(
    "touched",
    _beside,
    Column("kind", ByteOrder, primary_key=True),
    Column("key", ByteOrder, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
)
"""When each key was touched last, in microseconds since the epoch. Not a view of the log."""

_INSERT: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def create_touched(connection: Connection) -> None:
    """Create the table where it is missing; called by the views whose seams use it."""
    with home_only(connection):
        _beside.create_all(connection)


def forget_touched(connection: Connection, kind: str, key: str) -> None:
    """Remove a key that is no more."""
    c = touched_table.c
    connection.execute(delete(touched_table).where(c.kind == kind, c.key == key))


KEPT_SECONDS: Final = 60.0
"""How long a time is remembered once it is stored: a query that began before may still run."""


class AccessTimes:
    """The times of one kind of keys, as one store sees them; may be used from any thread."""

    def __init__(self, store: EventStore, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._lock = threading.Lock()
        self._fresh: dict[str, int] = {}
        self._unwritten: set[str] = set()
        self._stored: deque[tuple[float, str, int]] = deque()
        self._pending = False

    def touch(self, key: str) -> int:
        """Note that the key was touched now; return when that is."""
        now: int = self._store.clock()
        with self._lock:
            now = self._fresh[key] = max(now, self._fresh.get(key, 0))
            self._unwritten.add(key)
        self._write_soon()
        return now

    def newest(self, key: str, stored: int | None) -> int | None:
        """Return the newer of what the table said and what this store knows."""
        fresh = self._fresh.get(key)
        return max(fresh or 0, stored or 0) or None

    def forget(self, key: str) -> None:
        """Drop what this store knows."""
        with self._lock:
            self._fresh.pop(key, None)
            self._unwritten.discard(key)

    def _write_soon(self) -> None:
        with self._lock:
            if self._pending or not self._unwritten:
                return
            self._pending = True
        written: dict[str, int] = {}

        def write(connection: Connection) -> None:
            with self._lock:
                written.update((key, self._fresh[key]) for key in self._unwritten)
            self._write(connection, written)

        def done(future: Future[None]) -> None:
            self._pending = False
            if (error := future.exception()) is not None:
                log.warning("times of %s are stored with the next one: %s", self._kind, error)
                return
            with self._lock:
                self._settle(written)
            with suppress(StoreClosedError):
                self._write_soon()

        try:
            self._store.transact_later(write).add_done_callback(done)
        except BaseException:
            self._pending = False
            raise

    def _settle(self, written: dict[str, int]) -> None:
        """Note what was written, and forget what was long ago; the caller holds the lock."""
        now = time.monotonic()
        for key, at in written.items():
            if self._fresh.get(key) == at:
                self._unwritten.discard(key)
                self._stored.append((now, key, at))
        while self._stored and self._stored[0][0] < now - KEPT_SECONDS:
            _, key, at = self._stored.popleft()
            if self._fresh.get(key) == at:
                del self._fresh[key]

    def _write(self, connection: Connection, times: dict[str, int]) -> None:
        rows = [{"kind": self._kind, "key": key, "at_us": at} for key, at in times.items()]
        if not rows:
            return
        c = touched_table.c
        insert = _INSERT[connection.dialect.name](touched_table)
        newer = insert.excluded.at_us
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=[c.kind, c.key], set_={"at_us": newer}, where=newer > c.at_us
            ),
            rows,
        )
