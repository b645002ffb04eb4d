"""Table projections that a runner applies, in any database, and which runner owns them."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from sqlalchemy import select, update

from eventstore.errors import (
    HistoryDivergedError,
    ProjectionError,
    ProjectionGoneError,
    ProjectionVersionError,
    StorageError,
    TakenOverError,
)
from eventstore.log.events import Cursor
from eventstore.log.redaction import read_redaction
from eventstore.log.validation import check_seconds
from eventstore.storage.sqlite.paths import database_path
from eventstore.system.secret_url import SecretUrl
from projections.protocol import OutdatedViewError
from projections.tables._at_least import wait_at_least
from projections.tables._tables_in import TablesIn
from projections.tables.backends import make_database
from projections.tables.checkpoints import (
    clear_failure,
    has_failure,
    projection_table,
    record_failure,
)
from projections.tables.database import Rebuildable
from projections.tables.elsewhere import read_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from projections.tables.database import Rebuild
    from projections.tables.view_model import ElsewhereView

log = logging.getLogger(__name__)


def read_cursors(url: str) -> list[tuple[str, Cursor]]:
    """Return the cursors of the projections in a database, by name.

    Raises StorageError where there is no such database, or none with projections in it.
    """
    place = SecretUrl(url)
    path = database_path(place) if place.scheme in {"sqlite", "memory"} else Path()
    if path is None or not path.exists():
        raise StorageError(str(place), "there is no such file with projections in it")
    database, c = make_database(url), projection_table.c
    database.open()
    try:
        with database.transaction() as connection:
            rows = connection.execute(
                select(c.name, c.log_id, c.position, c.hash)
                .where(c.log_id.is_not(None))
                .order_by(c.name)
            ).all()
    finally:
        database.close()
    return [(name, Cursor(*cursor)) for name, *cursor in rows]


class RunnableTables(Rebuildable, Protocol):
    """What a runner needs of a table projection; see :class:`projections.TableProjection`."""

    from_snapshot: bool
    named_by_trims: bool
    batch_events: ClassVar[int]

    def check_declaration(self, identifier_bytes: int | None = None) -> None:
        """Raise ConfigError for what cannot be used."""

    def register(self, connection: Connection, *, replace_newer: bool = False) -> bool:
        """Make the checkpoint's row and the tables; return whether to compute them again."""

    def checkpoint(self, connection: Connection) -> tuple[Cursor | None, int]:
        """Return the checkpoint and the version of the tables, the row locked."""

    def check_tables(self, connection: Connection) -> None:
        """Raise ProjectionTableError where a table was altered or removed since it was made."""

    def cursor(self, connection: Connection) -> Cursor | None:
        """Return the checkpoint, its row locked; ``None`` before the first event.

        Raises ProjectionVersionError where the tables are of another version.
        """

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits and store ``cursor``."""


class FollowedTables(TablesIn[RunnableTables]):
    """A table projection in a database of its own: a :class:`projections.protocol.Projection`.

    The newest opener owns it: an earlier runner gets TakenOverError with its next batch, which
    is then not applied. A rebuild replaces the old tables in one transaction. On SQLite the whole
    rebuild is that transaction, and in the log's own file appends wait for it;
    :mod:`projections.tables.postgres` says how it is there. A projection whose version has changed
    is ``outdated``: readers see its old tables until it has been rebuilt. Tables of a newer version
    are left alone: ``open`` and ``apply`` raise ProjectionVersionError.
    """

    def __init__(self, projection: RunnableTables, url: str) -> None:
        self._url = SecretUrl.of(url)
        super().__init__(projection, make_database(url))
        self.one_writer = self._database.one_writer
        self.named_by_trims = projection.named_by_trims
        self.outdated = False
        self.replace_newer = False
        """Whether a rebuild may replace tables of a newer version: set before ``open``."""
        self._epoch = 0
        self._stored = 0
        self._failed = False
        self._at: Cursor | None = None
        self._owned_in: object = None
        self._rebuilt: Cursor | None = None
        self._rebuild: Rebuild | None = None

    async def at_least(self, cursor: Cursor, *, timeout: float = 30.0) -> None:
        """Return once readers see the event at ``cursor``, which a runner in any process applies.

        For reading one's own writes: ``await view.at_least(done.cursor)``. Tables of an older
        version do not count; an event that was set aside does. Raises ProjectionError
        where the projection has stopped at an event before, HistoryDivergedError where it was
        computed from another log, and NotAppliedError, a TimeoutError, after ``timeout`` seconds.
        """
        timeout = check_seconds("timeout", timeout, zero=True)
        at = None if self.outdated else self._at
        known = at is not None and at.log_id == cursor.log_id and at.position > cursor.position
        if not known and at != cursor:
            database, version = make_database(self._url), self._projection.version
            await wait_at_least(database, self.name, version, cursor, timeout)

    def open(self, log_id: str) -> Cursor | None:
        """Own the projection; return its checkpoint, ``None`` where it has to begin."""
        self._epoch = 0
        return self.reopen(log_id)

    def reopen(self, log_id: str) -> Cursor | None:
        """Own it again after a failure; raise TakenOverError where it has a newer runner."""
        self._database.open()
        try:
            with self._database.transaction() as connection:
                return self._open(connection, log_id)
        except BaseException:
            self.close()
            raise

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits and store ``cursor``, in one transaction."""
        if self._rebuild is not None:
            with self._rebuild.step() as connection:
                self._apply_in(connection, events, cursor)
            self._rebuilt = cursor
            return
        try:
            self._apply_with_retry(events, cursor)
        except ProjectionError as error:
            self._check_tables()
            # What came before the commit that cannot be applied is kept.
            bad = next(event.commit for event in events if event.position >= error.position)
            good = [event for event in events if event.commit < bad]
            if good:
                reached = Cursor(cursor.log_id, good[-1].position, good[-1].hash)
                self._apply_with_retry(good, reached)
            self._record_failure(error)
            raise

    def begin_rebuild(self) -> None:
        """Start from nothing, where readers do not see it; drop an unfinished rebuild."""
        rebuild, self._rebuild, self._rebuilt = self._rebuild, None, None
        if rebuild is not None:
            rebuild.abandon()
        self._rebuild = self._database.rebuild(self._projection, self._check_owner)

    def finish_rebuild(self) -> None:
        """Replace the old tables by the new ones."""
        rebuild, self._rebuild = self._rebuild, None
        if rebuild is not None:
            rebuild.finish()
            self._at, self.outdated = self._rebuilt, False
            self._stored = self._projection.version

    def facts(self, log_id: str, owner: str) -> ElsewhereView | None:
        """Return what the database knows of the projection; ``None`` where it is the log's own."""
        return read_facts(self._database, self.name, log_id, owner)

    def close(self) -> None:
        """Release the projection; an unfinished rebuild is dropped."""
        rebuild, self._rebuild = self._rebuild, None
        if rebuild is not None:
            log.info("the rebuild of %s was not finished; the old tables stay", self.name)
            rebuild.abandon()
        self._database.close()

    def _open(self, connection: Connection, log_id: str) -> Cursor | None:
        self._database.lock_setup(connection)
        self.outdated = self._projection.register(connection, replace_newer=self.replace_newer)
        cursor, self._stored = self._projection.checkpoint(connection)
        self._at = cursor
        if cursor is not None and cursor.log_id != log_id:
            # Before the claim: a runner of the wrong log must not take ownership.
            raise HistoryDivergedError(
                cursor.position,
                0,
                f"projection {self.name!r} in {self.place} was made from another log",
            )
        self._epoch = self._claim(connection)
        self._failed = has_failure(connection, self.name)
        return None if self.outdated else cursor

    def _apply_with_retry(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply; retry once where the connection was lost, since the commit may have succeeded."""
        try:
            self._apply(events, cursor)
        except StorageError as error:
            if not error.transient:
                raise
            log.info("applying to %s again after: %s", self.name, error)
            self._database.drop_idle_connections()
            self._apply(events, cursor)

    def _apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        with self._database.transaction() as connection:
            self._check_owner(connection)
            stored = self._projection.cursor(connection)
            if stored not in {self._at, cursor}:
                raise TakenOverError(
                    f"projection {self.name}", "a runner that applied events to it"
                )
            if stored != cursor:
                self._apply_in(connection, events, cursor)
            if self._failed and events:
                clear_failure(connection, self.name)
        self._at = cursor
        self._failed = self._failed and not events

    def _check_tables(self) -> None:
        """Raise ProjectionTableError where a table is not as it was made: no event is at fault."""
        with self._database.transaction() as connection:
            self._check_owner(connection)
            self._projection.check_tables(connection)

    def _record_failure(self, error: ProjectionError) -> None:
        """Store which event could not be applied, where ``status`` finds it."""
        with suppress(StorageError), self._database.transaction() as connection:
            self._check_owner(connection)
            record_failure(connection, self.name, error.position, error.reason)
            self._failed = True

    def _apply_in(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        self._projection.apply(connection, events, cursor)
        if self._projection.cursor(connection) is None:
            # Rolls the transaction back: readers see the old tables until the rebuild is done.
            position = next(r.position for e in events if (r := read_redaction(e)) is not None)
            raise OutdatedViewError(self.name, position)

    def _claim(self, connection: Connection) -> int:
        c = projection_table.c
        found = select(c.epoch).where(c.name == self.name).with_for_update()
        epoch: int = connection.execute(found).scalar_one()
        mine = self._projection.version
        newer = self._database.newer_computing(connection, self.name, mine)
        if newer is not None and not self.replace_newer:
            # Its session has taken ownership, and would lose what it has computed.
            raise ProjectionVersionError(self.name, mine, newer)
        # Epochs are counted in one file: in another one, a copy or a new one, ours says nothing.
        owned, self._owned_in = self._owned_in, self._database.identity
        if epoch and owned == self._owned_in and self._epoch not in {0, epoch}:
            raise TakenOverError(f"projection {self.name}", "a newer runner")
        connection.execute(
            update(projection_table).where(c.name == self.name).values(epoch=epoch + 1)
        )
        return epoch + 1

    def _check_owner(self, connection: Connection) -> None:
        """Lock the checkpoint's row, so that owners take turns; raise for any but the newest."""
        c = projection_table.c
        found = select(c.epoch, c.version).where(c.name == self.name).with_for_update()
        row = connection.execute(found).one_or_none()
        if row is None:
            raise ProjectionGoneError(self.name)
        epoch, version = row
        mine = self._projection.version
        if version > max(mine, self._stored):
            raise ProjectionVersionError(self.name, mine, version)
        if epoch != self._epoch:
            raise TakenOverError(f"projection {self.name}", "a newer runner")
