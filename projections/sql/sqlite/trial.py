"""Trying out events of tables on SQLite: their definitions, in an empty database in memory.

SQLite's compiler judges a definition by the schema before it, so those before it have to be run.
They run as in a rebuild, under the same guard, and reach neither the log nor any file.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from eventstore.storage.catalog import TABLES
from projections.sql._identifiers import quote_name
from projections.sql.model import ReplayError
from projections.sql.sqlite.replay import SqliteReplay

if TYPE_CHECKING:
    from eventstore import Event
    from projections.sql._trial import ReservedNames
    from projections.sql.model import Change, ReservedNameError

MAX_PAGES: Final = 16_384
"""The largest size of the database, in pages of 4 KiB."""

MAX_VALUE_BYTES: Final = 10_000_000
_STEPS: Final = 10_000
MAX_STEPS: Final = 10_000_000
"""Steps of SQLite's machine that one event's definitions may take: about a second."""


class SqliteTrial:
    """See :class:`~projections.sql._trial.Trial`."""

    def __init__(self, names: ReservedNames) -> None:
        self._names = names
        self._left = 0
        self._knows = True
        self._raw = sqlite3.connect(":memory:", isolation_level=None)
        self._raw.execute(f"PRAGMA max_page_count = {MAX_PAGES}")
        self._raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self._raw.set_progress_handler(self._count, _STEPS)
        for name in [*TABLES, *names.occupied - names.own]:
            self._raw.execute(f"CREATE TABLE main.{quote_name(name)} (position INTEGER)")
        self._replay = SqliteReplay(self._raw)

    def _count(self) -> bool:
        """Return True, which ends the statement, when an event has taken all of its steps."""
        self._left -= _STEPS
        return self._left < 0

    def define(self, event: Event) -> None:
        """Run an event's definitions, or none of them where one is refused."""
        if not self._knows:
            return
        self._left = MAX_STEPS
        self._raw.execute("BEGIN")
        tables = self._replay.tables
        try:
            self._replay.define(event)
            self._left = MAX_STEPS
            self._raw.execute("COMMIT")
        except ReplayError as error:
            # A statement that was ended has rolled back already.
            self._raw.rollback()
            self._replay.tables = tables
            if self._left < 0:
                reason = "its statements compute for too long to be tried out"
                raise ReplayError(event.position, reason) from error
            raise

    def check(self, change: Change) -> None:
        """Raise LookupError for a change of other columns than its table has."""
        self._left = MAX_STEPS
        if self._knows:
            self._replay.check(change)

    def forget(self) -> None:
        """Know nothing of the tables any more: a definition is then judged by a rebuild alone."""
        self._knows = False

    def find_taken(self) -> list[ReservedNameError]:
        """Return an error for each name that an object has and that no rebuild leaves it."""
        self._left = MAX_STEPS
        return self._replay.find_taken(self._names.own) if self._knows else []
