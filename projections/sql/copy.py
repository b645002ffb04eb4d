"""A copy of the tables in another database, kept from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.system.secret_url import SecretUrl
from projections.sql.sqlite.copy import SqliteCopy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Cursor, Event
    from projections.sql.postgres.copy import PostgresCopy


class SqlCopy:
    """The tables of an :class:`SqlStorage`, computed in the database at ``url``.

    A :class:`~projections.protocol.Projection`: ``ProjectionRunner(store, SqlCopy(url))`` brings
    it up to the log and keeps it there. Several commits of the log may be one of the copy's, none
    is ever two, so readers see what was true at some moment. The database is of the kind that the
    migrations are written for: a SQLite file, or a PostgreSQL schema, with nothing else in it.
    Writing to the copy is nobody else's business.
    """

    def __init__(self, url: str, *, name: str = "sql") -> None:
        self.name = name
        self._copy = _make(url, name)

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return self._copy.place

    def open(self, log_id: str) -> Cursor | None:
        """Own the copy; return how far it has come.

        Raises ConfigError for a database that holds something else, and ProjectionBusyError.
        """
        return self._copy.open(log_id)

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, and store the cursor, in one transaction."""
        self._copy.apply(events, cursor)

    def begin_rebuild(self) -> None:
        """Start from nothing, where readers do not see it."""
        self._copy.begin_rebuild()

    def finish_rebuild(self) -> None:
        """Let readers see what was rebuilt."""
        self._copy.finish_rebuild()

    def close(self) -> None:
        """Give the copy up. An unfinished rebuild is rolled back."""
        self._copy.close()


def _make(url: str, name: str) -> SqliteCopy | PostgresCopy:
    if SecretUrl(url).scheme != "postgresql":
        return SqliteCopy(url, name)
    from projections.sql.postgres.copy import PostgresCopy  # noqa: PLC0415 - optional

    return PostgresCopy(url, name)
