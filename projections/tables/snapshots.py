"""Snapshots of folds, kept beside the log: a state, with the cursor that it is as of.

The table ``projection_snapshot`` in the log's own database holds them. They are no history: each
can be computed again, and one that was changed, or is of another history, is not used.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    func,
    inspect,
    select,
)

from eventstore.log.events import Cursor
from projections.tables.checkpoints import own_schema_only
from projections.tables.columns import ByteOrder, keys, required
from projections.tables.upsert import Upsert
from projections.tables.view_model import SavedFold

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from eventstore import EventStore

log = logging.getLogger(__name__)

_tables = MetaData()

snapshot_table: Final = Table(
    "projection_snapshot",
    _tables,
    *keys(ByteOrder, "name", "stream"),
    *keys(Integer, "version"),
    *required(String, "log_id"),
    *required(BigInteger, "position"),
    *required(LargeBinary, "hash"),
    *required(BigInteger, "stream_version"),
    *required(LargeBinary, "state", "digest"),
)
"""The newest snapshot of each version of a fold, for a stream, or for the log (an empty text)."""

_UPSERT: Final = Upsert(snapshot_table, ["name", "stream", "version"])


class Snapshot(NamedTuple):
    """A state as bytes; ``stream_version`` is that of the stream, 0 for the whole log."""

    cursor: Cursor
    stream_version: int
    state: bytes


def read_folds(connection: Connection, log_id: str) -> list[SavedFold]:
    """Return the snapshot of each version of each fold of a whole log, by name and version."""
    with own_schema_only(connection):
        if not inspect(connection).has_table(snapshot_table.name):
            return []
        c = snapshot_table.c
        found = select(
            c.name, c.version, c.position, func.length(c.state), c.log_id == log_id
        ).where(c.stream == "")
        rows = connection.execute(found.order_by(c.name, c.version)).all()
    return [SavedFold(*row) for row in rows]


class Snapshots:
    """The snapshots of one version of a fold."""

    def __init__(self, store: EventStore, name: str, version: int) -> None:
        self._store = store
        self._name = name
        self._version = version

    async def read(self, stream: str = "") -> Snapshot | None:
        """Return the snapshot, or ``None`` where there is none that is whole."""
        return await self._store.query(self.finding(stream))

    async def save(self, snapshot: Snapshot, stream: str = "") -> None:
        """Store a snapshot in the place of an earlier one, of an earlier version too."""
        await self._store.transact(self.saving(snapshot, stream))

    async def drop(self, stream: str = "") -> None:
        """Remove the snapshots of all versions: they hold what was redacted since."""
        await self._store.transact(self.dropping(stream))

    def finding(self, stream: str = "") -> Callable[[Connection, object], Snapshot | None]:
        """Return what reads the snapshot, as the function of a query."""
        c = snapshot_table.c
        mine = (c.name == self._name) & (c.stream == stream) & (c.version == self._version)

        def find(connection: Connection, _: object) -> Snapshot | None:
            if not inspect(connection).has_table(snapshot_table.name):
                return None
            row = connection.execute(snapshot_table.select().where(mine)).one_or_none()
            if row is None:
                return None
            cursor = Cursor(row.log_id, row.position, row.hash)
            found = Snapshot(cursor, row.stream_version, row.state)
            if row.digest == self._digest(stream, found):
                return found
            log.warning("the snapshot of %s was changed; it is not used", self._name)
            return None

        return find

    def saving(self, snapshot: Snapshot, stream: str = "") -> Callable[[Connection], None]:
        """Return what stores a snapshot, as the function of a transaction."""
        c = snapshot_table.c
        row = {
            "name": self._name,
            "stream": stream,
            "version": self._version,
            "log_id": snapshot.cursor.log_id,
            "position": snapshot.cursor.position,
            "hash": snapshot.cursor.hash,
            "stream_version": snapshot.stream_version,
            "state": snapshot.state,
            "digest": self._digest(stream, snapshot),
        }
        earlier = (c.name == self._name) & (c.stream == stream) & (c.version < self._version)

        def write(connection: Connection) -> None:
            with own_schema_only(connection):
                _tables.create_all(connection)
            connection.execute(snapshot_table.delete().where(earlier))
            _UPSERT.execute(connection, row)

        return write

    def dropping(self, stream: str = "") -> Callable[[Connection], None]:
        """Return what removes the snapshots of all versions, as the function of a transaction."""
        c = snapshot_table.c
        mine = (c.name == self._name) & (c.stream == stream)

        def remove(connection: Connection) -> None:
            with own_schema_only(connection):
                _tables.create_all(connection)
            connection.execute(snapshot_table.delete().where(mine))

        return remove

    def _digest(self, stream: str, snapshot: Snapshot) -> bytes:
        cursor = snapshot.cursor
        where = (self._name, stream, self._version, cursor.log_id, cursor.position)
        parts = f"{where!r}{cursor.hash.hex()} {snapshot.stream_version} ".encode()
        return sha256(parts + snapshot.state).digest()
