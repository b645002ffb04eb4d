"""A copy of the tables in a SQLite file of its own, kept from the log alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from eventstore import Cursor
from eventstore.errors import ConfigError, HistoryDivergedError, ProjectionError
from eventstore.storage.sqlite.backend import database_path, translate_errors
from eventstore.system.file_lock import FileLock
from eventstore.system.secret_url import SecretUrl
from projections.protocol import ProjectionBusyError
from projections.sql.model import OWN_PREFIX, ReplayError
from projections.sql.sqlite.replay import SqliteReplay, drop_tables
from projections.sql.sqlite.schema import list_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from eventstore import Event

NOT_EMPTY: Final = "is no copy of these tables, and holds {!r}: name a place with nothing in it"
STATE: Final = f"{OWN_PREFIX}_copy"
_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {STATE} (one INTEGER PRIMARY KEY CHECK (one = 1), log_id TEXT "
    "NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, tables TEXT NOT NULL)"
)


class SqliteCopy:
    """See :class:`projections.sql.SqlCopy`."""

    def __init__(self, url: str, name: str) -> None:
        path = database_path(url)
        if path is None:
            raise ConfigError(
                f"a copy cannot live in {SecretUrl(url)!r}: name a SQLite file or a PostgreSQL"
            )
        self.name = name
        self.place = str(SecretUrl(url))
        self._path: Path = path
        self._raw: sqlite3.Connection | None = None
        self._lock: FileLock | None = None
        self._tables: list[str] = []
        self._kept: list[str] = []
        self._rebuilding = False

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._raw is None:
            raise RuntimeError("a runner opens the copy before it uses it")
        return self._raw

    def open(self, log_id: str) -> Cursor | None:
        """Own the file; return how far the copy has come."""
        self._take()
        try:
            with translate_errors(str(self._path)):
                raw = sqlite3.connect(
                    self._path, timeout=30, isolation_level=None, check_same_thread=False
                )
                self._raw = raw
                self._check_empty(raw)
                raw.execute("PRAGMA journal_mode=WAL")
                raw.execute("PRAGMA synchronous=FULL")
                raw.execute("PRAGMA foreign_keys=OFF")
                raw.execute(_CREATE)
                row = raw.execute(f"SELECT log_id, position, hash, tables FROM {STATE}").fetchone()
            return None if row is None else self._read_state(log_id, *row)
        except BaseException:
            self.close()
            raise

    def _check_empty(self, raw: sqlite3.Connection) -> None:
        """Refuse what is somebody else's: a rebuild would drop their views and triggers."""
        known = list_tables(raw)
        if known and STATE not in known:
            raise ConfigError(f"{self.place} {NOT_EMPTY.format(min(known))}")

    def _read_state(
        self, log_id: str, made_of: str, position: int, digest: bytes, tables: str
    ) -> Cursor:
        if made_of != log_id:
            raise HistoryDivergedError(position, 0, f"the copy was made of log {made_of}")
        self._tables = json.loads(tables)
        return Cursor(made_of, position, digest)

    def _take(self) -> None:
        lock = FileLock(self._path.with_name(self._path.name + "-copy"))
        if not lock.try_acquire():
            lock.close()
            raise ProjectionBusyError(self.name, f"another runner ({lock.path})")
        self._lock = lock

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, and store the cursor, in one transaction."""
        with self._transaction() as raw:
            replay = SqliteReplay(raw)
            replay.tables = self._tables
            try:
                replay.apply(events)
                replay.finish()
            except ReplayError as error:
                raise ProjectionError(self.name, error.position, error.reason) from error
            state = cursor.log_id, cursor.position, cursor.hash, json.dumps(replay.tables)
            raw.execute(f"INSERT OR REPLACE INTO {STATE} VALUES (1, ?, ?, ?, ?)", state)
        self._tables = replay.tables

    def begin_rebuild(self) -> None:
        """Drop the copy's tables, in a transaction that readers do not see the end of yet."""
        raw = self._connection
        with translate_errors(str(self._path)):
            if self._rebuilding:
                raw.execute("ROLLBACK")
                self._tables = self._kept
            raw.execute("BEGIN IMMEDIATE")
            self._rebuilding, self._kept = True, self._tables
            drop_tables(raw, self._tables)
            raw.execute(f"DELETE FROM {STATE}")
        self._tables = []

    def finish_rebuild(self) -> None:
        """Let readers see the new tables."""
        with translate_errors(str(self._path)):
            self._connection.execute("COMMIT")
        self._rebuilding = False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        raw = self._connection
        with translate_errors(str(self._path)):
            if self._rebuilding:
                yield raw
                return
            raw.execute("BEGIN IMMEDIATE")
            try:
                yield raw
                raw.execute("COMMIT")
            except BaseException:
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Give the file up. An unfinished rebuild is rolled back."""
        raw, self._raw, self._rebuilding = self._raw, None, False
        if raw is not None:
            raw.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
