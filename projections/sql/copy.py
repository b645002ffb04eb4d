"""A copy of the tables in another database, computed from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.sql._dialects import make_copy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Cursor, Event


class SqlCopy:
    """The tables of an :class:`SqlStorage`, computed in the database at ``url``.

    A :class:`~projections.protocol.Projection`: ``ProjectionRunner(store, SqlCopy(url))`` brings
    it up to the log and keeps it there. One transaction of the copy holds one or more whole
    commits of the log, so readers always see the state after some commit. The database is of the
    kind that the migrations are written for: a SQLite file, or a PostgreSQL schema, with nothing
    else in it. Other programs only read it.
    """

    from_snapshot = True
    named_by_trims = True

    def __init__(self, url: str, *, name: str = "sql") -> None:
        self.name = name
        self._database = make_copy(url, name)

    @property
    def place(self) -> str:
        """Names the database, without a password."""
        return self._database.place

    def open(self, log_id: str) -> Cursor | None:
        """Lock the copy; return its cursor, ``None`` for a new one.

        Raises ConfigError for a database that holds something else, ProjectionBusyError while
        another runner has it.
        """
        return self._database.open(log_id)

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, and store the cursor, in one transaction."""
        self._database.apply(events, cursor)

    def begin_rebuild(self) -> None:
        """Start from nothing, in a transaction that readers do not see yet."""
        self._database.begin_rebuild()

    def finish_rebuild(self) -> None:
        """Commit what was rebuilt."""
        self._database.finish_rebuild()

    def close(self) -> None:
        """Release the copy. An unfinished rebuild is rolled back."""
        self._database.close()
