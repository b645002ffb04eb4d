"""What a caller's statement may do: an authorizer, which SQLite's compiler calls.

SQLite calls it for each action of a statement while it compiles that, triggers and views
included, so no SQL has to be parsed here (https://www.sqlite.org/c3ref/set_authorizer.html).
"""

from __future__ import annotations

import sqlite3
from enum import Enum
from typing import Final, NamedTuple

from projections.sql._identifiers import CAPTURE, RESERVED, is_reserved

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
    sqlite3.SQLITE_RECURSIVE,
}
_REFUSED_FUNCTIONS: Final = {
    "edit", "fsdir", "fts3_tokenizer", "load_extension", "readfile", "writefile",
}  # fmt: skip
"""Functions, where SQLite has them, that reach files, code or addresses in memory."""
_UNRECORDED: Final = {sqlite3.SQLITE_ANALYZE, sqlite3.SQLITE_REINDEX}
_TABLE_SECOND: Final = {
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_TRIGGER,
}
"""Actions whose second name is the table; the first is another object's, or the database's."""

_OTHER_DATABASE: Final = "another database's changes would not be recorded"
_ALWAYS_REFUSED: Final = {
    sqlite3.SQLITE_ATTACH: _OTHER_DATABASE,
    sqlite3.SQLITE_DETACH: _OTHER_DATABASE,
    sqlite3.SQLITE_CREATE_TEMP_TRIGGER: "a temporary trigger would run before what is recorded",
}
SCHEMA_CHANGE: Final = "the schema is changed by migrations only (apply_migrations)"
"""Why a definition is refused, where it is not one of those that change nothing."""

_TRIGGERS: Final = {sqlite3.SQLITE_CREATE_TRIGGER, sqlite3.SQLITE_DROP_TRIGGER}
_RAW_PAGES: Final = {"sqlite_dbpage"}
"""A table through which the pages of the file are written, where SQLite was built with it."""

_MASTER: Final = {"sqlite_master", "sqlite_schema"}

_ALLOWED_PRAGMAS: Final = {
    "busy_timeout", "cache_size", "case_sensitive_like", "defer_foreign_keys", "foreign_keys",
    "foreign_key_check", "foreign_key_list", "index_info", "index_list", "index_xinfo",
    "integrity_check", "mmap_size", "quick_check", "table_info", "table_list", "table_xinfo",
    "temp_store", "threads", "wal_checkpoint",
}  # fmt: skip
"""Pragmas with an argument that affect neither durability nor capture."""

_DEFINING_PRAGMAS: Final = {"legacy_alter_table", "user_version"}
"""Those by which a migration changes what its definitions do, or what the file says of itself."""

_QUERY_PRAGMAS: Final = {"table_info", "table_xinfo", "index_list", "index_info", "table_list"}
"""Those that change nothing on the connection."""


class _Action(NamedTuple):
    """What SQLite asks about: an action code and the names that belong to it."""

    code: int
    first: str
    second: str | None
    database: str | None
    within: str
    """The trigger or view that the action is part of; empty where there is none."""


class Mode(Enum):
    """Whose statements are compiled: the storage's own, a caller's or a migration's.

    A caller's statement that writes is refused in READ: it needs a transaction first.
    """

    OWN = "own"
    READ = "read"
    WRITE = "write"
    MIGRATE = "migrate"


class StatementAuthorizer:
    """Allows or refuses the actions of one connection's statements, and notes what they do.

    The notes (``refusal``, ``taken``, ``transaction``, ``writes``, ``defines``, ``made``) are
    those of the statement that was compiled last; ``taken`` is the name that is another's,
    ``made`` the table that a migration makes. ``noted`` is False where there are none.
    """

    def __init__(self) -> None:
        self.mode = Mode.OWN
        self.writable: frozenset[str] = frozenset()
        """Tables, views and parts of virtual tables that a caller may write, in lower case."""
        self.foreign: frozenset[str] = frozenset()
        """Tables that a migration may not change, besides the log's, in lower case."""
        self.own: frozenset[str] = frozenset()
        """Reserved names that the program's objects have since before they were reserved."""
        self.recorded = False
        """True for a definition of an event: migrations could call triggers as they liked once."""
        self.customised = False
        """True once a caller has changed settings of the connection or made temporary tables."""
        self.reset()

    def reset(self) -> None:
        """Clear the notes, before another statement is compiled."""
        self.noted = False
        self.refusal = ""
        self.taken = ""
        self.transaction = ""
        self.writes = False
        self.defines = False
        self.made = ""
        self._dropped = ""

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        database: str | None,
        within: str | None,
    ) -> int:
        """Return SQLITE_OK or SQLITE_DENY for one action of a statement."""
        if self.mode is Mode.OWN or action in _READS:
            return sqlite3.SQLITE_OK
        self.noted = True
        if action == sqlite3.SQLITE_FUNCTION:
            return self._authorize_call(second or "")
        if action in _WRITES and self.mode is not Mode.MIGRATE:
            return self._authorize_row_change(first or "", database, within or "")
        return self._authorize(_Action(action, first or "", second, database, within or ""))

    def _authorize(self, action: _Action) -> int:
        if action.code == sqlite3.SQLITE_PRAGMA:
            return self._authorize_pragma(action.first, action.second)
        if action.code == sqlite3.SQLITE_TRANSACTION:
            self.transaction = action.first
            return sqlite3.SQLITE_DENY
        if action.code in _TEMPORARY:
            return self._authorize_temporary(action)
        if action.database == "temp" and action.code in _WRITES:
            return sqlite3.SQLITE_OK
        return self._authorize_by_mode(action)

    def _authorize_call(self, function: str) -> int:
        if function.lower() in _REFUSED_FUNCTIONS:
            return self._refuse(f"{function}() reaches beyond the tables")
        return sqlite3.SQLITE_OK

    def _authorize_temporary(self, action: _Action) -> int:
        # Statements find a temporary table before one of the file that has its name.
        if is_reserved(action.first):
            return self._refuse(f"{action.first!r} is a name of the log's own: choose another")
        self.customised = True
        return sqlite3.SQLITE_OK

    def _authorize_by_mode(self, action: _Action) -> int:
        if action.code in _ALWAYS_REFUSED:
            return self._refuse(_ALWAYS_REFUSED[action.code])
        if self.mode is Mode.MIGRATE:
            return self._authorize_migration(action)
        if action.code == sqlite3.SQLITE_SAVEPOINT:
            return self._authorize_write()
        return self._refuse(SCHEMA_CHANGE)

    def _authorize_write(self) -> int:
        """Allow a write within a transaction only."""
        self.writes = True
        return sqlite3.SQLITE_OK if self.mode is Mode.WRITE else sqlite3.SQLITE_DENY

    def _authorize_row_change(self, table: str, database: str | None, within: str) -> int:
        """Authorize an INSERT, UPDATE or DELETE of a caller, or of a trigger that it fires."""
        if database == "temp":
            return sqlite3.SQLITE_OK
        lowered = table.lower()
        if lowered in _MASTER:
            return self._refuse(SCHEMA_CHANGE)
        if self._authorize_write() == sqlite3.SQLITE_DENY:
            return sqlite3.SQLITE_DENY
        if lowered in self.writable or (lowered == CAPTURE and within.startswith(CAPTURE)):
            return sqlite3.SQLITE_OK
        return self._refuse(f"table {table!r} is not one that a migration of this storage made")

    def _authorize_pragma(self, name: str, value: str | None) -> int:
        name = name.lower()
        if value is not None and name in _DEFINING_PRAGMAS and self.mode is Mode.MIGRATE:
            self.defines = True
            return sqlite3.SQLITE_OK
        self.customised |= value is not None and name not in _QUERY_PRAGMAS
        if value is None and name not in {"optimize", "incremental_vacuum", "shrink_memory"}:
            return sqlite3.SQLITE_OK
        if name in _ALLOWED_PRAGMAS or (name, (value or "").lower()) == ("journal_mode", "wal"):
            return sqlite3.SQLITE_OK
        if name == "synchronous" and (value or "").lower() in {"full", "extra", "2", "3"}:
            return sqlite3.SQLITE_OK
        return self._refuse(f"PRAGMA {name} would change what the log relies on")

    def _authorize_migration(self, action: _Action) -> int:
        if action.within.startswith(CAPTURE):
            return sqlite3.SQLITE_OK
        if action.code == sqlite3.SQLITE_SAVEPOINT:
            return self._refuse("a migration is one transaction: leave savepoints out")
        if action.code in _UNRECORDED:
            return sqlite3.SQLITE_OK
        table = ((action.second if action.code in _TABLE_SECOND else action.first) or "").lower()
        name = action.first.lower()
        if action.code == sqlite3.SQLITE_CREATE_TABLE:
            self.made = name
        if action.code == sqlite3.SQLITE_DROP_TRIGGER and table == self._dropped:
            return sqlite3.SQLITE_OK  # It goes with its table, what captures too.
        capturing = {one for one in (table, name) if one.startswith(CAPTURE)}
        names = {table} if self.recorded and action.code in _TRIGGERS else {table, name}
        reserved = (RESERVED - self.own) | _RAW_PAGES
        taken = capturing or names & reserved or {table} & self.foreign
        if taken and action.database in {"main", None}:
            self.taken = min(taken)
            return self._refuse(f"{self.taken!r} is not one of this storage's own tables")
        if action.code == sqlite3.SQLITE_DROP_TABLE:
            self._dropped = table
        if action.code in _WRITES:
            self.writes = True
        else:
            self.defines = True
        return sqlite3.SQLITE_OK

    def _refuse(self, reason: str) -> int:
        self.refusal = self.refusal or reason
        return sqlite3.SQLITE_DENY
