"""Database views: tables that are a function of the log, with their cursor beside them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    text,
    update,
)

from eventstore.backends.sqlite import database_path
from eventstore.backends.trouble import is_trouble
from eventstore.errors import HistoryDivergedError, ProjectionError, StorageError, TakenOverError
from eventstore.events import Cursor
from eventstore.redaction import read_redaction
from projections.database import make_database
from projections.projection import OutdatedViewError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from eventstore.events import Event
    from eventstore.redaction import Redaction
    from projections.database import Rebuild

log = logging.getLogger(__name__)

OnError: TypeAlias = Literal["stop", "set_aside"]
"""What happens to an event that cannot be applied; the same live and in a rebuild."""

ByteOrder: Final = String().with_variant(String(collation="C"), "postgresql")
ByteOrderText: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Text that sorts the same in every database: by its bytes in UTF-8, as on SQLite."""

_ledger = MetaData()

projection_table: Final = Table(
    "projection",
    _ledger,
    Column("name", ByteOrder, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("log_id", String),
    Column("position", BigInteger),
    Column("hash", LargeBinary),
    # Rises with each opening; a runner that holds an older one has lost the view.
    Column("epoch", BigInteger, nullable=False),
)

set_aside_table: Final = Table(
    "projection_set_aside",
    _ledger,
    Column("projection", ByteOrder, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("reason", String, nullable=False),
)


redacted_table: Final = Table(
    "projection_redacted",
    _ledger,
    # Redacted events that the view has passed over, or taken out: their redaction, when it
    # comes by, asks nothing of it any more.
    Column("projection", String, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
)


class _StartAgainError(Exception):
    """The view was emptied while events were applied to it."""


def escape_nul(text: str) -> str:
    r"""Return ``text`` without NUL characters, which PostgreSQL refuses: as ``\u0000``.

    Different texts stay different, so keys do: a text that already shows the escape gets its
    backslashes doubled. Any other text stays as it is.
    """
    if "\0" not in text and "\\u0000" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\0", "\\u0000")


def storable(text: str) -> str:
    """Return ``text`` as every database takes it: without NUL characters and half characters."""
    return escape_nul(text).encode(errors="backslashreplace").decode()


@contextmanager
def home_only(connection: Connection) -> Iterator[None]:
    """Let tables mean those of the connection's own schema alone.

    A search path may go on to other schemas, where tables of the same names are another
    log's: they must neither pass for ours nor be dropped.
    """
    home = None
    if connection.dialect.name == "postgresql":
        home = connection.execute(text("SELECT current_schema()")).scalar_one()
    connection.execution_options(schema_translate_map={None: home})
    try:
        yield
    finally:
        connection.execution_options(schema_translate_map=None)


class TableProjection(ABC):
    """A view in database tables: give it a name, tables, and what each event does to them.

    Subclass it with ``name``, ``metadata`` (an SQLAlchemy MetaData of its own tables) and
    :meth:`handle`. Raise ``version`` with each change to tables or meaning: the view is
    then computed again from the first event.

    Inline, in the log's own database: ``EventStore.open(url, inline=[View()])``; every
    append then updates the view in its own transaction. Followed, in any database:
    ``ProjectionRunner(store, View().at("sqlite:///views.db"))``. Either way the cursor is
    stored in the same transaction as the effect, so each event takes effect exactly once.

    With ``on_error="stop"`` an exception in :meth:`handle` is a ProjectionError: the append
    fails, or the runner stops before that commit. With ``"set_aside"`` the event is
    recorded in the table ``projection_set_aside`` and passed over.
    """

    name: str
    metadata: ClassVar[MetaData]
    version: ClassVar[int] = 1
    from_snapshot: bool = False
    """Whether the events that trimming keeps, and those since, give the same tables."""
    takes_redacted: ClassVar[bool] = False
    """Whether :meth:`handle` is also given events whose content was redacted."""

    def __init__(self, *, on_error: OnError = "stop") -> None:
        self.on_error = on_error

    @abstractmethod
    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event. Runs within a transaction: neither commit nor roll back."""

    def erase(self, connection: Connection, position: int, stream: str) -> None:  # noqa: ARG002
        """Take out what :meth:`handle` made of an event that was redacted since.

        Afterwards the view must be what it would be if the event had come redacted. This one
        empties the view, which is then computed again from the first event: always right,
        and slow. Override it where rows know the position that they come from; call
        ``self.reset(connection)`` where that is not enough.
        """
        self.reset(connection)

    def at(self, url: str) -> FollowedTables:
        """Return this view in the database at ``url``, to be driven by a ProjectionRunner."""
        return FollowedTables(self, url)

    def setup(self, connection: Connection) -> None:
        """Create the tables where they are missing, or anew where ``version`` has changed."""
        if self.register(connection):
            self.reset(connection)
        self.create_missing(connection)

    def create_missing(self, connection: Connection) -> None:
        """Create the tables that are not there."""
        with home_only(connection):
            self.metadata.create_all(connection)

    def register(self, connection: Connection) -> bool:
        """Enter the view in the ledger; return whether the tables are of another version."""
        with home_only(connection):
            _ledger.create_all(connection)
        stored = self._version(connection)
        if stored is None:
            self._enter(connection)
        return stored not in {None, self.version}

    def is_current(self, connection: Connection) -> bool:
        """Whether the tables that are there are of this version."""
        return self._version(connection) == self.version

    def create(self, connection: Connection) -> None:
        """Create ledger and tables in a schema that has none of them."""
        _ledger.create_all(connection, checkfirst=False)
        self.metadata.create_all(connection, checkfirst=False)
        self._enter(connection)

    def reset(self, connection: Connection) -> None:
        """Empty the view, as if no event had been applied."""
        with home_only(connection):
            self.metadata.drop_all(connection)
            self.metadata.create_all(connection)
        for table in (set_aside_table, redacted_table):
            connection.execute(delete(table).where(table.c.projection == self.name))
        connection.execute(
            update(projection_table)
            .where(projection_table.c.name == self.name)
            .values(version=self.version, log_id=None, position=None, hash=None)
        )

    def take_over(self, connection: Connection, schema: str) -> None:
        """Take what the ledger in ``schema`` says: version, cursor, events passed over."""
        c, other = projection_table.c, MetaData()
        ledger = projection_table.to_metadata(other, schema=schema)
        names = ("version", "log_id", "position", "hash")
        row = connection.execute(
            select(*(ledger.c[name] for name in names)).where(ledger.c.name == self.name)
        ).one()
        connection.execute(
            update(projection_table)
            .where(c.name == self.name)
            .values(dict(zip(names, row, strict=True)))
        )
        for table in (set_aside_table, redacted_table):
            new = table.to_metadata(other, schema=schema)
            connection.execute(delete(table).where(table.c.projection == self.name))
            connection.execute(insert(table).from_select(new.c.keys(), select(new)))

    def _version(self, connection: Connection) -> int | None:
        c = projection_table.c
        found = select(c.version).where(c.name == self.name)
        version: int | None = connection.execute(found).scalar_one_or_none()
        return version

    def _enter(self, connection: Connection) -> None:
        connection.execute(
            insert(projection_table).values(name=self.name, version=self.version, epoch=0)
        )

    def cursor(self, connection: Connection) -> Cursor | None:
        """Return how far the view has come; ``None`` where it has seen nothing."""
        c = projection_table.c
        # Locked before the tables are, always: whoever writes to the view takes turns here.
        row = connection.execute(
            select(c.log_id, c.position, c.hash).where(c.name == self.name).with_for_update()
        ).one()
        return Cursor(*row) if row.log_id is not None else None

    def position(self, connection: Connection) -> int:
        """Return how far the view has come, without a lock: for those who only read it."""
        c = projection_table.c
        found = select(c.position).where(c.name == self.name)
        return connection.execute(found).scalar_one_or_none() or 0

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits and store ``cursor``, within the caller's transaction.

        Where the view had to be emptied because of a redaction, its cursor is ``None``
        afterwards: it has to be given everything again.
        """
        connection.exec_driver_sql("SAVEPOINT projection_apply")
        try:
            self._apply(connection, events)
        except _StartAgainError:
            connection.exec_driver_sql("RELEASE SAVEPOINT projection_apply")
            return
        connection.exec_driver_sql("RELEASE SAVEPOINT projection_apply")
        connection.execute(
            update(projection_table)
            .where(projection_table.c.name == self.name)
            .values(log_id=cursor.log_id, position=cursor.position, hash=cursor.hash)
        )

    def _apply(self, connection: Connection, events: Sequence[Event]) -> None:
        try:
            for event in events:
                self._handle(connection, event)
        except ProjectionError:
            if self.on_error == "stop":
                raise
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT projection_apply")
            for event in events:
                self._handle_or_set_aside(connection, event)

    def _handle(self, connection: Connection, event: Event) -> None:
        try:
            if event.redacted:
                self._note_redacted(connection, event.position)
                if not self.takes_redacted:
                    return
            elif (redaction := read_redaction(event)) is not None:
                self._take_out(connection, redaction)
            self.handle(connection, event)
        except _StartAgainError:
            raise
        except ProjectionError:
            raise
        except Exception as error:
            if is_trouble(error):
                raise
            # A handler is the view's own code; whatever it raises is about this event.
            raise ProjectionError(self.name, event.position, repr(error)) from error

    def _take_out(self, connection: Connection, redaction: Redaction) -> None:
        """Take an event's content out of the view, unless it never got in."""
        position = redaction.position
        c = redacted_table.c
        known = select(c.position).where(c.projection == self.name, c.position == position)
        if connection.execute(known).first() is not None:
            return
        aside = set_aside_table.c
        connection.execute(
            delete(set_aside_table).where(aside.projection == self.name, aside.position == position)
        )
        before = self.cursor(connection)
        self.erase(connection, position, redaction.stream)
        if before is not None and self.cursor(connection) is None:
            raise _StartAgainError
        self._note_redacted(connection, position)

    def _note_redacted(self, connection: Connection, position: int) -> None:
        connection.execute(insert(redacted_table).values(projection=self.name, position=position))

    def _handle_or_set_aside(self, connection: Connection, event: Event) -> None:
        connection.exec_driver_sql("SAVEPOINT projection_event")
        try:
            self._handle(connection, event)
        except ProjectionError as error:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT projection_event")
            log.warning("%s; it is set aside", error)
            connection.execute(
                insert(set_aside_table).values(
                    projection=self.name, position=event.position, reason=storable(error.reason)
                )
            )
        connection.exec_driver_sql("RELEASE SAVEPOINT projection_event")


def read_cursors(url: str) -> list[tuple[str, Cursor]]:
    """Return the views in a database, by name, with how far they have come.

    Raises StorageError where there is no such database, or none with views in it.
    """
    path = database_path(url) if url.startswith(("sqlite:", "memory:")) else Path()
    if path is None or not path.exists():
        raise StorageError(url, "there is no such file with views in it")
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


class FollowedTables:
    """A :class:`TableProjection` in a database of its own; see projections.projection.

    The newest opener owns the view: an earlier runner gets TakenOverError with its next
    batch, which is then not applied. A rebuild is put in the old view's place at once, in
    one transaction; on SQLite all of it is that transaction, and in the log's own file
    appends wait for it (:mod:`projections.postgres` says how it is there). A view whose
    version has changed is ``outdated``: it serves as it was until it has been rebuilt.
    """

    def __init__(self, view: TableProjection, url: str) -> None:
        self._database = make_database(url)
        self.place = self._database.url
        """Names the database, without a password."""
        self.name = view.name
        self.from_snapshot = view.from_snapshot
        self.outdated = False
        self._view = view
        self._epoch = 0
        self._at: Cursor | None = None
        self._rebuilt: Cursor | None = None
        self._rebuild: Rebuild | None = None

    def open(self, log_id: str) -> Cursor | None:
        """Own the view; return how far it has come, ``None`` where it has to begin."""
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
            self._apply_or_settle(events, cursor)
        except ProjectionError as error:
            # What came before the commit that cannot be applied is kept.
            bad = next(event.commit for event in events if event.position >= error.position)
            good = [event for event in events if event.commit < bad]
            if good:
                reached = Cursor(cursor.log_id, good[-1].position, good[-1].hash)
                self._apply_or_settle(good, reached)
            raise

    def begin_rebuild(self) -> None:
        """Start from nothing, where nobody else sees it."""
        self._rebuilt = None
        self._rebuild = self._database.rebuild(self._view, self._check_owner)

    def finish_rebuild(self) -> None:
        """Put the new view in the place of the old one."""
        rebuild, self._rebuild = self._rebuild, None
        if rebuild is not None:
            rebuild.finish()
            self._at, self.outdated = self._rebuilt, False

    def close(self) -> None:
        """Give the view up; an unfinished rebuild is dropped."""
        rebuild, self._rebuild = self._rebuild, None
        if rebuild is not None:
            log.info("the rebuild of %s was not finished; the old view stays", self.name)
            rebuild.abandon()
        self._database.close()

    def _open(self, connection: Connection, log_id: str) -> Cursor | None:
        self._database.lock_setup(connection)
        self.outdated = self._view.register(connection)
        if not self.outdated:
            self._view.create_missing(connection)
        cursor = self._at = self._view.cursor(connection)
        if cursor is not None and cursor.log_id != log_id:
            # Before the claim: whoever is in the wrong log takes nothing over.
            raise HistoryDivergedError(
                cursor.position, 0, f"view {self.name!r} in {self.place} was made from another log"
            )
        self._epoch = self._claim(connection)
        return None if self.outdated else cursor

    def _apply_or_settle(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply; once more where the connection was lost, for it may have been committed."""
        try:
            self._apply(events, cursor)
        except StorageError as error:
            if not error.transient:
                raise
            log.info("applying to %s again after: %s", self.name, error)
            self._database.forget()
            self._apply(events, cursor)

    def _apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        with self._database.transaction() as connection:
            self._check_owner(connection)
            stored = self._view.cursor(connection)
            if stored not in {self._at, cursor}:
                raise TakenOverError(f"projection {self.name}", "somebody who applied events to it")
            if stored != cursor:
                self._apply_in(connection, events, cursor)
        self._at = cursor

    def _apply_in(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        self._view.apply(connection, events, cursor)
        if self._view.cursor(connection) is None:
            # The transaction ends with this: the old view serves until the rebuild is done.
            position = next(r.position for e in events if (r := read_redaction(e)) is not None)
            raise OutdatedViewError(self.name, position)

    def _claim(self, connection: Connection) -> int:
        c = projection_table.c
        found = select(c.epoch).where(c.name == self.name).with_for_update()
        epoch: int = connection.execute(found).scalar_one()
        connection.execute(
            update(projection_table).where(c.name == self.name).values(epoch=epoch + 1)
        )
        return epoch + 1

    def _check_owner(self, connection: Connection) -> None:
        """Lock the view's row, so that owners take turns; raise once it is another's."""
        c = projection_table.c
        found = select(c.epoch).where(c.name == self.name).with_for_update()
        if connection.execute(found).scalar_one() != self._epoch:
            raise TakenOverError(f"projection {self.name}", "a newer runner")
