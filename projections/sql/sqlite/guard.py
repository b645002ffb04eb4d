"""What a caller's statement may do, judged by SQLite's own compiler (its *authorizer*).

It is asked about each action of a statement while that is compiled, triggers and views
included, so nothing depends on reading SQL.
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import Final

from projections.sql.model import OWN_PREFIX
from projections.sql.sqlite.schema import RESERVED

_WRITES: Final = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_TEMPORARY: Final = {
    sqlite3.SQLITE_CREATE_TEMP_INDEX,
    sqlite3.SQLITE_CREATE_TEMP_TABLE,
    sqlite3.SQLITE_CREATE_TEMP_VIEW,
    sqlite3.SQLITE_DROP_TEMP_INDEX,
    sqlite3.SQLITE_DROP_TEMP_TABLE,
    sqlite3.SQLITE_DROP_TEMP_VIEW,
}
_READS: Final = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_UNRECORDED: Final = {sqlite3.SQLITE_ANALYZE, sqlite3.SQLITE_REINDEX}
_TABLE_SECOND: Final = {
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_TRIGGER,
}
"""Actions whose first name is another object's, or the database's."""

_OTHER: Final = "another database's changes would not be recorded"
_BEYOND: Final = {
    sqlite3.SQLITE_ATTACH: _OTHER,
    sqlite3.SQLITE_DETACH: _OTHER,
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER: "a temporary trigger would run before what is recorded",
}
_MASTER: Final = {"sqlite_master", "sqlite_schema"}

_HARMLESS: Final = {
    "busy_timeout", "cache_size", "case_sensitive_like", "defer_foreign_keys", "foreign_keys",
    "foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo",
    "integrity_check", "mmap_size", "quick_check", "table_info", "table_list", "table_xinfo",
    "temp_store", "threads", "wal_checkpoint",
}  # fmt: skip
"""Settings and questions that take an argument and touch neither durability nor capture."""


_QUESTIONS: Final = {"table_info", "table_xinfo", "index_list", "index_info", "table_list"}
"""Those that leave nothing behind."""


class Mode(Enum):
    """Whose statements are compiled."""

    OWN = "own"
    READ = "read"
    WRITE = "write"
    MIGRATE = "migrate"


class Guard:
    """An authorizer; the connection asks it, and reads what it noted, statement by statement."""

    def __init__(self) -> None:
        self.mode = Mode.OWN
        self.writable: frozenset[str] = frozenset()
        """Tables, views and parts of virtual tables that may be written, in lower case."""
        self.foreign: frozenset[str] = frozenset()
        """Tables that a migration may not touch, besides the log's."""
        self.personal = False
        """Whether the connection has got settings or temporary tables of a caller's own."""
        self.reset()

    def reset(self) -> None:
        """Forget the statement before."""
        self.refused = ""
        self.transaction = ""
        self.writes = False
        self.defines = False

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        within: str | None,
    ) -> int:
        """Answer SQLite whether this may be done."""
        if self.mode is Mode.OWN or action in _READS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA:
            return self._pragma(first or "", second)
        if action == sqlite3.SQLITE_TRANSACTION:
            self.transaction = first or ""
            return sqlite3.SQLITE_DENY
        if action in _TEMPORARY:
            self.personal = True
            return sqlite3.SQLITE_OK
        if database == "temp" and action in _WRITES:
            return sqlite3.SQLITE_OK
        return self._judge(action, first, second, database, within)

    def _judge(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        within: str | None,
    ) -> int:
        if action in _BEYOND:
            return self._refuse(_BEYOND[action])
        if self.mode is Mode.MIGRATE:
            return self._migrate(action, first, second, database, within)
        return self._change(action, first or "", within)

    def _write(self) -> int:
        """Allow what writes once there is a transaction for it."""
        self.writes = True
        return sqlite3.SQLITE_OK if self.mode is Mode.WRITE else sqlite3.SQLITE_DENY

    def _change(self, action: int, table: str, within: str | None) -> int:
        if action == sqlite3.SQLITE_SAVEPOINT:
            return self._write()
        if action not in _WRITES or table.lower() in _MASTER:
            return self._refuse("the schema is changed by migrations only (apply_migrations)")
        if self._write() == sqlite3.SQLITE_DENY:
            return sqlite3.SQLITE_DENY
        own = table.lower() == OWN_PREFIX and (within or "").startswith(OWN_PREFIX)
        if own or table.lower() in self.writable:
            return sqlite3.SQLITE_OK
        return self._refuse(f"table {table!r} is not one that a migration of this storage made")

    def _pragma(self, name: str, value: str | None) -> int:
        name = name.lower()
        self.personal |= value is not None and name not in _QUESTIONS
        if value is None and name not in {"optimize", "incremental_vacuum", "shrink_memory"}:
            return sqlite3.SQLITE_OK
        if name in _HARMLESS or (name, (value or "").lower()) == ("journal_mode", "wal"):
            return sqlite3.SQLITE_OK
        if name == "synchronous" and (value or "").lower() in {"full", "extra", "2", "3"}:
            return sqlite3.SQLITE_OK
        return self._refuse(f"PRAGMA {name} would change what the log relies on")

    def _migrate(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        within: str | None,
    ) -> int:
        if (within or "").startswith(OWN_PREFIX):
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_SAVEPOINT:
            return self._refuse("a migration is one transaction: leave savepoints out")
        if action in _UNRECORDED:
            return sqlite3.SQLITE_OK
        table = ((second if action in _TABLE_SECOND else first) or "").lower()
        own = {name for name in (table, (first or "").lower()) if name.startswith(OWN_PREFIX)}
        taken = own or {table} & (RESERVED | self.foreign)
        if taken and database in {"main", None}:
            return self._refuse(f"{min(taken)!r} is not one of this storage's own tables")
        if action in _WRITES:
            self.writes = True
        else:
            self.defines = True
        return sqlite3.SQLITE_OK

    def _refuse(self, reason: str) -> int:
        self.refused = self.refused or reason
        return sqlite3.SQLITE_DENY
