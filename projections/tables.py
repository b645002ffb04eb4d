"""Database views: tables that are a function of the log, with their cursor beside them."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    update,
)

from eventstore.backends.locks import WriteTurn
from eventstore.backends.sqlite import database_path, make_engine, translate_errors
from eventstore.errors import (
    ConfigError,
    HistoryDivergedError,
    ProjectionError,
    StorageError,
    TakenOverError,
)
from eventstore.events import Cursor
from eventstore.redaction import read_redaction
from projections.projection import OutdatedViewError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from eventstore.events import Event
    from eventstore.redaction import Redaction

log = logging.getLogger(__name__)

OnError: TypeAlias = Literal["stop", "set_aside"]
"""What happens to an event that cannot be applied; the same live and in a rebuild."""

_ledger = MetaData()

projection_table: Final = Table(
    "projection",
    _ledger,
    Column("name", String, primary_key=True),
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
    Column("projection", String, primary_key=True),
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
        _ledger.create_all(connection)
        c = projection_table.c
        stored = connection.execute(
            select(c.version).where(c.name == self.name)
        ).scalar_one_or_none()
        if stored is None:
            connection.execute(
                insert(projection_table).values(name=self.name, version=self.version, epoch=0)
            )
        elif stored != self.version:
            self.reset(connection)
        self.metadata.create_all(connection)

    def reset(self, connection: Connection) -> None:
        """Empty the view, as if no event had been applied."""
        self.metadata.drop_all(connection)
        self.metadata.create_all(connection)
        for table in (set_aside_table, redacted_table):
            connection.execute(delete(table).where(table.c.projection == self.name))
        connection.execute(
            update(projection_table)
            .where(projection_table.c.name == self.name)
            .values(version=self.version, log_id=None, position=None, hash=None)
        )

    def cursor(self, connection: Connection) -> Cursor | None:
        """Return how far the view has come; ``None`` where it has seen nothing."""
        c = projection_table.c
        row = connection.execute(
            select(c.log_id, c.position, c.hash).where(c.name == self.name)
        ).one()
        return Cursor(*row) if row.log_id is not None else None

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
                    projection=self.name, position=event.position, reason=error.reason
                )
            )
        connection.exec_driver_sql("RELEASE SAVEPOINT projection_event")


def read_cursors(url: str) -> list[tuple[str, Cursor]]:
    """Return the views in a database, by name, with how far they have come.

    Raises StorageError where there is no such database, or none with views in it.
    """
    path = database_path(url)
    if path is None or not path.exists():
        raise StorageError(url, "there is no such file with views in it")
    with translate_errors(str(path)):
        engine = make_engine(path)
        try:
            with engine.connect() as connection:
                c = projection_table.c
                rows = connection.execute(
                    select(c.name, c.log_id, c.position, c.hash)
                    .where(c.log_id.is_not(None))
                    .order_by(c.name)
                ).all()
        finally:
            engine.dispose()
    return [(name, Cursor(*cursor)) for name, *cursor in rows]


class FollowedTables:
    """A :class:`TableProjection` in a database of its own; see projections.projection.

    The newest opener owns the view: an earlier runner gets TakenOverError with its next
    batch, which is then not applied. A rebuild is one transaction, so readers see the
    old view until the new one is complete; in the log's own file appends wait for it.
    """

    def __init__(self, view: TableProjection, url: str) -> None:
        path = database_path(url)
        if path is None:
            raise ConfigError(f"a followed view cannot live in {url!r}: name a SQLite file")
        self.name = view.name
        self.from_snapshot = view.from_snapshot
        self._view = view
        self._path = path
        self._epoch = 0
        self._rebuild: ExitStack | None = None

    def open(self, log_id: str) -> Cursor | None:
        """Own the view; return how far it has come."""
        with translate_errors(str(self._path)):
            self._turn = WriteTurn(self._path)
            self._engine = make_engine(self._path)
        try:
            with self._transaction() as connection:
                return self._open(connection, log_id)
        except BaseException:
            self.close()
            raise

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits and store ``cursor``, in one transaction."""
        if self._rebuild is not None:
            self._apply_in(self._rebuilding, events, cursor)
            return
        try:
            self._apply(events, cursor)
        except ProjectionError as error:
            # What came before the commit that cannot be applied is kept.
            bad = next(event.commit for event in events if event.position >= error.position)
            good = [event for event in events if event.commit < bad]
            if good:
                self._apply(good, Cursor(cursor.log_id, good[-1].position, good[-1].hash))
            raise

    def begin_rebuild(self) -> None:
        """Start from nothing, inside a transaction that nobody else sees."""
        rebuild = ExitStack()
        self._rebuilding = rebuild.enter_context(self._transaction())
        self._rebuild = rebuild
        self._check_owner(self._rebuilding)
        self._view.reset(self._rebuilding)

    def finish_rebuild(self) -> None:
        """Commit the new view in the place of the old one."""
        rebuild, self._rebuild = self._rebuild, None
        if rebuild is not None:
            rebuild.close()

    def close(self) -> None:
        """Give the view up; an unfinished rebuild is rolled back."""
        rebuild, self._rebuild = self._rebuild, None
        if rebuild is not None:
            log.info("the rebuild of %s was not finished; the old view stays", self.name)
            self._rebuilding.exec_driver_sql("ROLLBACK")
            self._rebuilding.exec_driver_sql("BEGIN")
            rebuild.close()
        self._engine.dispose()
        self._turn.close()

    def _open(self, connection: Connection, log_id: str) -> Cursor | None:
        self._view.setup(connection)
        cursor = self._view.cursor(connection)
        if cursor is not None and cursor.log_id != log_id:
            # Before the claim: whoever is in the wrong log takes nothing over.
            raise HistoryDivergedError(
                cursor.position, 0, f"view {self.name!r} in {self._path} was made from another log"
            )
        self._epoch = self._claim(connection)
        return cursor

    def _apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        with self._transaction() as connection:
            self._check_owner(connection)
            self._apply_in(connection, events, cursor)

    def _apply_in(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        self._view.apply(connection, events, cursor)
        if self._view.cursor(connection) is None:
            # The transaction ends with this: the old view serves until the rebuild is done.
            position = next(r.position for e in events if (r := read_redaction(e)) is not None)
            raise OutdatedViewError(self.name, position)

    def _claim(self, connection: Connection) -> int:
        c = projection_table.c
        epoch: int = connection.execute(select(c.epoch).where(c.name == self.name)).scalar_one()
        connection.execute(
            update(projection_table).where(c.name == self.name).values(epoch=epoch + 1)
        )
        return epoch + 1

    def _check_owner(self, connection: Connection) -> None:
        c = projection_table.c
        epoch = connection.execute(select(c.epoch).where(c.name == self.name)).scalar_one()
        if epoch != self._epoch:
            raise TakenOverError(f"projection {self.name}", "a newer runner")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with (
            translate_errors(str(self._path)),
            self._turn.hold(),
            self._engine.connect() as connection,
        ):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
