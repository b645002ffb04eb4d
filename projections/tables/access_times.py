"""Access times: the newest time for each key, kept beside the log instead of as events.

Reading a registration, or a session's heartbeat, moves a time and nothing else, and appends no
event. The table ``touched`` in the log's own database holds the times; the thread that writes
appends stores them together within 200 ms. A process that is killed loses the times of its last
200 ms. A rebuild of a projection keeps them all, because they were never in the log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, MetaData, Table, delete

from eventstore.errors import StoreClosedError
from projections.tables.checkpoints import own_schema_only
from projections.tables.columns import ByteOrder, keys, required
from projections.tables.kept_tables import KeptTables
from projections.tables.upsert import Upsert

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Connection

    from eventstore import EventStore

log = logging.getLogger(__name__)

_tables = MetaData()

access_time_table: Final = Table(
    "touched",
    _tables,
    *keys(ByteOrder, "kind", "key"),
    *required(BigInteger, "at_us"),
    sqlite_with_rowid=False,
)
"""The newest time of each key, in microseconds since the epoch. No projection of the log."""

_UPSERT: Final = Upsert(
    access_time_table,
    ["kind", "key"],
    where=lambda new: new.at_us > access_time_table.c.at_us,
)


def create_access_times(connection: Connection) -> None:
    """Create the table where it is missing; called by the projections that join it."""
    with own_schema_only(connection):
        _tables.create_all(connection)


class ProjectionWithAccessTimes(KeptTables):
    """Base of the projections that have access times beside them."""

    def setup(self, connection: Connection) -> None:
        """Create the projection's tables, and the one of access times."""
        super().setup(connection)
        create_access_times(connection)


def delete_access_time(connection: Connection, kind: str, key: str) -> None:
    """Delete the stored time of a key."""
    c = access_time_table.c
    connection.execute(delete(access_time_table).where(c.kind == kind, c.key == key))


CACHE_SECONDS: Final = 60.0
"""How long a stored time stays cached: a query that began before may still run."""


class AccessTimes:
    """The times of one kind of keys, as one store sees them; may be used from any thread."""

    def __init__(self, store: EventStore, kind: str) -> None:
        self._store = store
        self._kind = kind
        self._lock = threading.Lock()
        self.fresh: dict[str, int] = {}
        """The times that were recorded here, by key; only read elsewhere. See :meth:`newest`."""
        self._unwritten: set[str] = set()
        self._stored: deque[tuple[float, str, int]] = deque()
        self._pending = False

    def record(self, key: str, at: int | None = None) -> int:
        """Record that the key was accessed now, or at a time; return it, in microseconds."""
        now: int = self._store.clock() if at is None else at
        with self._lock:
            now = self.fresh[key] = max(now, self.fresh.get(key, 0))
            self._unwritten.add(key)
        self._write_soon()
        return now

    def newest(self, key: str, stored: int | None) -> int | None:
        """Return the newer of the stored time and the one recorded here, or ``None``."""
        fresh = self.fresh.get(key)
        if fresh is None or (stored is not None and stored > fresh):
            return stored
        return fresh

    def forget(self, key: str) -> None:
        """Drop the time that is recorded here."""
        with self._lock:
            self.fresh.pop(key, None)
            self._unwritten.discard(key)

    async def flush(self) -> None:
        """Store the times that are recorded here and not stored yet, for a query to see them."""
        if self._unwritten:
            with self._lock:
                times = {key: self.fresh[key] for key in self._unwritten}
            await self._store.transact(lambda connection: self._write(connection, times))

    def _write_soon(self) -> None:
        with self._lock:
            if self._pending or not self._unwritten:
                return
            self._pending = True
        written: dict[str, int] = {}

        def write(connection: Connection) -> None:
            with self._lock:
                written.update((key, self.fresh[key]) for key in self._unwritten)
            self._write(connection, written)

        def done(future: Future[None]) -> None:
            self._pending = False
            if (error := future.exception()) is not None:
                log.warning("times of %s are stored with the next one: %s", self._kind, error)
                return
            with self._lock:
                self._mark_stored(written)
            with suppress(StoreClosedError):
                self._write_soon()

        try:
            self._store.transact_later(write).add_done_callback(done)
        except BaseException:
            self._pending = False
            raise

    def _mark_stored(self, written: dict[str, int]) -> None:
        """Mark what was written, and drop old cache entries; the caller holds the lock."""
        now = time.monotonic()
        for key, at in written.items():
            if self.fresh.get(key) == at:
                self._unwritten.discard(key)
                self._stored.append((now, key, at))
        while self._stored and self._stored[0][0] < now - CACHE_SECONDS:
            _, key, at = self._stored.popleft()
            if self.fresh.get(key) == at:
                del self.fresh[key]

    def _write(self, connection: Connection, times: dict[str, int]) -> None:
        rows = [{"kind": self._kind, "key": key, "at_us": at} for key, at in times.items()]
        if rows:
            _UPSERT.execute(connection, rows)
