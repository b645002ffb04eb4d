"""A copy of the tables in a SQLite file of its own."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError
from eventstore.storage.sqlite.errors import translate_errors
from eventstore.storage.sqlite.forked_files import check_inherited
from eventstore.storage.sqlite.paths import database_path
from eventstore.system.file_lock import FileLock
from eventstore.system.secret_url import SecretUrl
from projections.protocol import ProjectionBusyError
from projections.sql._copy_database import STATE, CopyDatabase
from projections.sql.sqlite._schema import SqliteSchema, list_objects
from projections.sql.sqlite.replay import SqliteReplay

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {STATE} (one INTEGER PRIMARY KEY CHECK (one = 1), log_id TEXT "
    "NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, tables TEXT NOT NULL)"
)


class SqliteCopy(CopyDatabase):
    """See :class:`CopyDatabase`."""

    replay_type = SqliteReplay
    schema_type = SqliteSchema
    create_state = _CREATE
    store_state = f"INSERT OR REPLACE INTO {STATE} VALUES (1, ?, ?, ?, ?)"
    begin = "BEGIN IMMEDIATE"

    def __init__(self, url: str, name: str) -> None:
        super().__init__(name, str(SecretUrl(url)))
        path = database_path(url)
        if path is None:
            raise ConfigError(
                f"a copy cannot live in {self.place!r}: name a SQLite file or a PostgreSQL"
            )
        self._path: Path = path
        self._lock: FileLock | None = None

    def _connect(self) -> None:
        check_inherited(self._path)
        self._take_lock()
        self._raw = sqlite3.connect(
            self._path, timeout=30, isolation_level=None, check_same_thread=False
        )

    def _take_lock(self) -> None:
        lock = FileLock(self._path.with_name(self._path.name + "-copy"), self._path)
        if not lock.try_acquire():
            lock.close()
            raise ProjectionBusyError(self.name, f"another runner ({lock.path})")
        self._lock = lock

    def _list_objects(self) -> list[str]:
        return list(list_objects(self._raw))

    def _configure(self) -> None:
        self._raw.execute("PRAGMA journal_mode=WAL")
        self._raw.execute("PRAGMA synchronous=FULL")
        self._raw.execute("PRAGMA foreign_keys=OFF")

    def _translated(self) -> AbstractContextManager[None]:
        return translate_errors(str(self._path))

    def _roll_back(self) -> None:
        self._raw.rollback()

    def _disconnect(self, raw: sqlite3.Connection | None) -> None:
        if raw is not None:
            raw.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None
