"""A version of a projection that is built beside the live one in another database than the log's.

A runner brings the build up, as it does with any projection: in batches, each a transaction of
that database. The swap locks the live version's checkpoint, applies what the live version has and
the build lacks, and lets the names change hands in the same transaction: the rows that readers see
never go back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eventstore.errors import (
    ConfigError,
    EventStoreError,
    HistoryDivergedError,
    ProjectionError,
    TakenOverError,
)
from eventstore.log.inline_projection import BuildGoneError
from eventstore.storage.held_wait import HeldError
from projections.protocol import OutdatedViewError
from projections.tables._tables_in import TablesIn
from projections.tables.elsewhere import read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Cursor, Event
    from projections.tables._builds import Build
    from projections.tables.database import Database
    from projections.tables.projection import TableProjection
    from projections.tables.view_model import ElsewhereView

    Rest = Callable[[Cursor, Cursor], Sequence[Event]]

CLEARED_ROWS: Final = 1_000
"""Rows that one transaction takes out of a table that was replaced, on SQLite."""


class TooFarBehindError(EventStoreError):
    """The build is further behind the live version than a swap applies: it is tried again."""


class BuildElsewhere(TablesIn["TableProjection"]):
    """The tables that are built, as a :class:`projections.protocol.Projection`.

    Its methods raise BuildGoneError where another process has swapped or removed the build.
    """

    def __init__(self, projection: TableProjection, database: Database) -> None:
        super().__init__(projection, database)
        self._at: Cursor | None = None

    def is_needed(self, log_id: str) -> bool:
        """Whether the live version is an older one, or lacks a table; raise where it is newer."""
        self._database.open()
        try:
            with self._database.transaction() as connection:
                return self._is_needed(connection, log_id)
        finally:
            self._database.close()

    def _is_needed(self, connection: Connection, log_id: str) -> bool:
        self._database.lock_setup(connection)
        self._projection.setup(connection)
        live, _ = self._projection.checkpoint(connection)
        if live is not None and live.log_id != log_id:
            reason = f"projection {self.name!r} in {self.place} was made from another log"
            raise HistoryDivergedError(live.position, 0, reason)
        return self._projection.outdated(connection)

    def open(self, log_id: str) -> Cursor | None:
        """Begin the build, or go on with what is there; return how far it is."""
        self._database.open()
        try:
            with (
                self._database.transaction() as connection,
                self._begin(connection, log_id).inside(),
            ):
                self._at = self._projection.cursor(connection)
        except BaseException:
            self.close()
            raise
        return self._at

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits to the build."""
        with (
            self._database.transaction() as connection,
            self._projection.build_beside(connection).inside(),
        ):
            self._apply(connection, events, cursor)
        self._at = cursor

    def _apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        at = self._projection.cursor(connection)
        if at != self._at:
            raise TakenOverError(f"the build of {self.name}", "another process that builds it")
        self._projection.apply(connection, events, cursor)
        if self._projection.cursor(connection) is None:
            raise OutdatedViewError(self.name, events[0].position)

    def begin_rebuild(self) -> None:
        """Start the build from nothing."""
        with self._database.transaction() as connection:
            self._database.lock_setup(connection)
            self._projection.build_beside(connection).discard()
            self._make(connection)
        self._at = None

    def finish_rebuild(self) -> None:
        """Do nothing: the swap is another step."""

    def facts(self, log_id: str, owner: str) -> ElsewhereView | None:
        """Return what the database knows of the projection, its builds too."""
        return read_facts(self._database, self.name, log_id, owner)

    def close(self) -> None:
        """Release the database; the build stays."""
        self._database.close()

    def swap(self, seconds: float, rest: Rest) -> None:
        """Put the build in the live version's place.

        ``rest`` gives the events between two cursors. Raises HeldError where readers hold the old
        tables for longer than ``seconds``.
        """
        with self._database.transaction() as connection:
            self._database.lock_setup(connection)
            live, _ = self._projection.checkpoint(connection)
            build = self._projection.build_beside(connection)
            with build.inside():
                at = self._projection.cursor(connection)
                if live is not None and at is not None and at.position < live.position:
                    self._at = at
                    self._apply(connection, rest(at, live), live)
            if not build.swap(seconds):
                raise HeldError(build.holders)

    def clear(self) -> None:
        """Remove what is left of older versions, some rows at a time."""
        more = True
        while more:
            with self._database.transaction() as connection:
                more = self._projection.build_beside(connection).clear(CLEARED_ROWS)

    def discard(self) -> None:
        """Remove the build; the live version stays."""
        self._database.open()
        try:
            with self._database.transaction() as connection:
                self._database.lock_setup(connection)
                self._projection.build_beside(connection).discard()
            self.clear()
        finally:
            self._database.close()

    def _begin(self, connection: Connection, log_id: str) -> Build:
        if not self._is_needed(connection, log_id):
            raise BuildGoneError
        return self._make(connection)

    def _make(self, connection: Connection) -> Build:
        build = self._projection.build_beside(connection)
        if not build.begin():
            raise ConfigError(
                f"projection {self.name!r} in {self.place} cannot be built beside its live "
                "version, for its tables cannot be renamed (see docs/projections.md): its runner "
                "computes the new version when it begins"
            )
        return build


FAILS: Final = (ProjectionError, HistoryDivergedError)
"""Errors after which what was built is removed: it could not be gone on with."""
