"""Table projections: tables that are a function of the log, with their checkpoint beside them."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from sqlalchemy import MetaData, delete, insert, select, update

from eventstore.errors import ProjectionError, ProjectionGoneError, ProjectionVersionError
from eventstore.log.events import Cursor
from eventstore.log.redaction import read_redaction
from eventstore.storage.transient_errors import is_database_failure
from projections.handlers import NO_HANDLERS, Handlers, check_class, refuse_deferred
from projections.tables.building import make_build, recreate_build
from projections.tables.checkpoints import (
    checkpoint_tables,
    copy_checkpoint,
    is_hidden,
    own_schema,
    own_schema_only,
    place_of,
    projection_table,
    read_checkpoint,
    redacted_table,
    set_aside,
    set_aside_table,
    store_checkpoint,
)
from projections.tables.columns import storable
from projections.tables.declaration import METHODS, check_declaration
from projections.tables.followed import FollowedTables
from projections.tables.hidden import schemas, take_over_hidden
from projections.tables.ledger import Ledger, read_columns
from projections.tables.stated import StatedTables

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterator, Sequence

    from sqlalchemy import Connection

    from eventstore.log.event_types import EventTypes
    from eventstore.log.events import Event
    from eventstore.log.redaction import Redaction
    from projections.tables._builds import Build

log = logging.getLogger(__name__)

OnError: TypeAlias = Literal["stop", "set_aside"]
"""What happens to an event that cannot be applied; the same live and in a rebuild."""


class _EmptiedError(Exception):
    """The projection was emptied while events were applied to it."""


class TableProjection(StatedTables):
    """A projection in database tables: a name, tables, and what each event does to them.

    Subclass it with ``name``, ``version``, ``metadata`` (an SQLAlchemy MetaData that holds its own
    tables and no others) and handlers: methods with :func:`projections.handles`, or :meth:`handle`
    for all events. What is wrong with them is a ConfigError where the class is defined. Raise
    ``version`` with each change to tables or meaning: the projection is then computed again from
    the first event, and programs with a lower version leave it alone.

    Inline, in the log's own database: ``EventStore.open(url, inline=[Totals()])``; every
    append then updates the tables in its own transaction. Followed, in any database:
    ``ProjectionRunner(store, Totals().at("sqlite:///totals.db"))``. Either way the cursor is
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
    named_by_trims: bool = False
    """Whether that is so only where each trim says that it kept what this view needs."""
    batch_events: ClassVar[int] = 0
    """Events that a runner gives it at once while it catches up, up to 65,536: more than usual,
    where :meth:`handle_group` then has less to do for each."""
    event_types: ClassVar[EventTypes | Collection[str] | None] = None
    """The events that handlers may name, with their classes or without; ``None`` for any."""
    _handlers: ClassVar[Handlers] = NO_HANDLERS
    takes_redacted: ClassVar[bool] = False
    """Whether :meth:`handle` is also given events whose content was redacted."""

    def __init__(self, *, on_error: OnError = "stop") -> None:
        self.on_error = on_error

    def __init_subclass__(cls, **options: Any) -> None:
        """Find the handlers; raise ConfigError for what cannot be used."""
        super().__init_subclass__(**options)
        cls._handlers = Handlers(cls, cls.event_types)
        check_class(cls, cls._handlers, TableProjection, METHODS)

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event, in a plain function: neither commit nor roll back. Calls its handler."""
        self._handlers.call(self, connection, event)

    def group(self, event: Event) -> Hashable | None:  # noqa: ARG002
        """Return what events that follow one another have in common, to be applied at once.

        ``None``, as here, where an event is applied by itself. Events without content are not
        asked about.
        """
        return None

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Apply events of one :meth:`group`, in order, as :meth:`handle` would one by one."""
        for event in events:
            self.handle(connection, event)

    def erase(self, connection: Connection, position: int, stream: str) -> None:  # noqa: ARG002
        """Take out what :meth:`handle` made of an event that was redacted since.

        Afterwards the tables must be what they would be if the event had come redacted. This
        one empties them, and they are then computed again from the first event: always right,
        and slow. Override it where rows know the position that they come from; call
        ``self.reset(connection)`` where that is not enough.
        """
        self.reset(connection)

    @property
    def table_names(self) -> frozenset[str]:
        """The names of the projection's own tables: no other one may have them."""
        return frozenset(table.name for table in self.metadata.tables.values())

    def check_declaration(self, identifier_bytes: int | None = None) -> None:
        """Raise ConfigError for a name, version, tables or methods that cannot be used.

        ``identifier_bytes`` is how many bytes of a table's name the database tells apart.
        """
        check_declaration(self, identifier_bytes, TableProjection)

    def at(self, url: str) -> FollowedTables:
        """Return this projection in the database at ``url``, for a ProjectionRunner.

        Raises ConfigError for what :meth:`check_declaration` refuses.
        """
        self.check_declaration()
        return FollowedTables(self, url)

    def setup(self, connection: Connection) -> None:
        """Create the tables where they are missing; see :meth:`register`."""
        self.register(connection)

    def register(self, connection: Connection, *, replace_newer: bool = False) -> bool:
        """Make the checkpoint's row and the tables; return whether to compute them again.

        They are left as they are where they are of an older version, or one was removed. Raises
        ProjectionVersionError where they are of a newer one, unless ``replace_newer``, and
        ProjectionTableError for a table that is not the projection's own, or was altered.
        """
        with own_schema_only(connection):
            checkpoint_tables.create_all(connection)
        stored = self._version(connection)
        if stored is None:
            self._enter(connection)
        elif stored > self.version and not replace_newer:
            raise ProjectionVersionError(self.name, self.version, stored)
        ledger = self.ledger(connection)
        missing = ledger.check(stored)
        if stored is None and ledger.owned():
            ledger.replace()  # Without a checkpoint its rows would be counted twice.
        elif stored in {None, self.version} and not (missing and self._has_events(connection)):
            ledger.create_missing()
        else:
            return True
        return False

    def outdated(self, connection: Connection) -> bool:
        """Whether the tables are of another version than this one, or one of them is missing."""
        if self._version(connection) != self.version:
            return True
        return not all(read_columns(connection, name).names for name in self.table_names)

    def create(self, connection: Connection) -> None:
        """Create temporary tables, with a checkpoint among them, that a rebuild fills."""
        hidden = "temp" if connection.dialect.name == "sqlite" else None
        with own_schema_only(connection, hidden):
            checkpoint_tables.create_all(connection, checkfirst=False)
            self.metadata.create_all(connection, checkfirst=False)
            self._enter(connection)

    def take_over(self, connection: Connection) -> None:
        """Replace tables and checkpoint by the temporary ones that a rebuild has filled.

        Does nothing where another process has brought the tables as far. Raises
        ProjectionVersionError where they are of a newer version by now.
        """
        own, hidden = schemas(connection)
        with own_schema_only(connection, hidden):
            filled, _ = self.checkpoint(connection)
        with own_schema_only(connection, own):
            at, stored = self.checkpoint(connection)
            if stored > self.version:
                raise ProjectionVersionError(self.name, self.version, stored)
            as_far = at is not None and (filled is None or at.position >= filled.position)
            if as_far and not self.outdated(connection):
                return
        take_over_hidden(connection, self)

    def recreate(self, connection: Connection) -> None:
        """Drop every table that is the projection's, and create those of this version."""
        self.ledger(connection).replace()

    def reset(self, connection: Connection) -> None:
        """Empty the projection, as if no event had been applied."""
        place, key = place_of(connection, self.name)
        with own_schema_only(connection) as schema:
            if is_hidden(schema):
                # SQLAlchemy does not look for tables in SQLite's schema of temporary ones.
                self.metadata.drop_all(connection, checkfirst=False)
                self.metadata.create_all(connection, checkfirst=False)
            elif place is not projection_table:
                recreate_build(connection, self, self.ledger(connection))
            else:
                self.recreate(connection)
        for table in (set_aside_table, redacted_table):
            connection.execute(delete(table).where(table.c.projection == key))
        connection.execute(
            update(place)
            .where(place.c.name == key)
            .values(version=self.version, log_id=None, position=None, hash=None)
        )

    def copy_checkpoint(self, connection: Connection, schema: str) -> None:
        """Take the checkpoint in ``schema``: version, cursor, events set aside or redacted."""
        copy_checkpoint(connection, self.name, schema)

    def build_beside(self, connection: Connection) -> Build:
        """Return what builds this version beside an older one, in the transaction."""
        return make_build(connection, self, self.ledger(connection))

    def ledger(self, connection: Connection) -> Ledger:
        """Return the record of the tables that this projection has made."""
        return Ledger(connection, self.name, self.version, self.metadata.sorted_tables)

    def check_tables(self, connection: Connection) -> None:
        """Raise ProjectionTableError where a live table was altered or removed."""
        place, _ = place_of(connection, self.name)
        if place is projection_table and not is_hidden(own_schema(connection)):
            self.ledger(connection).check_present(self.version)

    def _version(self, connection: Connection) -> int | None:
        c = projection_table.c
        found = select(c.version).where(c.name == self.name)
        version: int | None = connection.execute(found).scalar_one_or_none()
        return version

    def _has_events(self, connection: Connection) -> bool:
        c = projection_table.c
        found = select(c.log_id).where(c.name == self.name)
        return connection.execute(found).scalar_one_or_none() is not None

    def _enter(self, connection: Connection) -> None:
        connection.execute(
            insert(projection_table).values(name=self.name, version=self.version, epoch=0)
        )

    def cursor(self, connection: Connection) -> Cursor | None:
        """Return the checkpoint, its row locked; ``None`` before the first event.

        Raises ProjectionVersionError where the tables are of another version.
        """
        cursor, version = self.checkpoint(connection)
        if version != self.version:
            raise ProjectionVersionError(self.name, self.version, version)
        return cursor

    def checkpoint(self, connection: Connection) -> tuple[Cursor | None, int]:
        """Return the checkpoint and the version of the tables, the row locked."""
        # Always locked before the tables are: writers of the projection take turns here.
        row = read_checkpoint(connection, self.name)
        if row is None:
            raise ProjectionGoneError(self.name)
        cursor = None if row.log_id is None else Cursor(row.log_id, row.position, row.hash)
        return cursor, row.version

    def position(self, connection: Connection) -> int:
        """Return the position of the checkpoint, without a lock: for readers.

        It is 0 for tables of an older version, which the store computes again before it appends
        or reads. Raises ProjectionVersionError where they are of a newer one.
        """
        c = projection_table.c
        found = select(c.position, c.version).where(c.name == self.name)
        row = connection.execute(found).one_or_none()
        return self.position_of(None, 0) if row is None else self.position_of(row[1], row[0])

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits and store ``cursor``, within the caller's transaction.

        Until the tables have been at the head for the first time, also parts of commits.
        Where a redaction emptied the projection, its cursor is ``None`` afterwards: every event
        has to be applied again.
        """
        if self.handle_appended(connection, events):
            store_checkpoint(connection, self.name, cursor)

    def handle_appended(self, connection: Connection, events: Sequence[Event]) -> bool:
        """Apply whole commits, and leave the checkpoint; False where a redaction emptied it."""
        try:
            if self.on_error == "stop":
                self._handle_all(connection, events)
            else:
                self._handle_or_set_aside_all(connection, events)
        except _EmptiedError:
            return False
        return True

    def _handle_or_set_aside_all(self, connection: Connection, events: Sequence[Event]) -> None:
        connection.exec_driver_sql("SAVEPOINT projection_apply")
        try:
            self._handle_all(connection, events)
        except ProjectionError:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT projection_apply")
            for event in events:
                self._handle_or_set_aside(connection, event)
        connection.exec_driver_sql("RELEASE SAVEPOINT projection_apply")

    def _handle_all(self, connection: Connection, events: Sequence[Event]) -> None:
        """Apply events in order; where it raises and events are set aside, each by itself."""
        for group, members in groupby(events, self._group_of):
            run = list(members)
            if group is None or len(run) == 1:
                for event in run:
                    self._handle(connection, event)
            else:
                with self._blaming(run[0]):
                    self.handle_group(connection, run)

    def _group_of(self, event: Event) -> Hashable | None:
        return None if event.redacted else self.group(event)

    @contextmanager
    def _blaming(self, event: Event) -> Iterator[None]:
        """Raise ProjectionError with this event's position for what a handler raises."""
        try:
            yield
        except (_EmptiedError, ProjectionError):
            raise
        except Exception as error:
            if is_database_failure(error):
                raise
            raise ProjectionError(self.name, event.position, repr(error)) from error

    def _handle(self, connection: Connection, event: Event) -> None:
        with self._blaming(event):
            if event.redacted:
                self._record_redacted(connection, event.position)
                if not self.takes_redacted:
                    return
            elif (redaction := read_redaction(event)) is not None:
                self._take_out(connection, redaction)
            # A wrapper of an asynchronous function looks like a plain one until it is called.
            handle: Callable[[Connection, Event], object] = self.handle
            if (answer := handle(connection, event)) is not None:
                refuse_deferred(answer)

    def _take_out(self, connection: Connection, redaction: Redaction) -> None:
        """Take an event's content out of the tables, unless it was never applied."""
        position = redaction.position
        _, key = place_of(connection, self.name)
        c = redacted_table.c
        known = select(c.position).where(c.projection == key, c.position == position)
        if connection.execute(known).first() is not None:
            return
        aside = set_aside_table.c
        connection.execute(
            delete(set_aside_table).where(aside.projection == key, aside.position == position)
        )
        before, _ = self.checkpoint(connection)
        self.erase(connection, position, redaction.stream)
        if before is not None and self.checkpoint(connection)[0] is None:
            raise _EmptiedError
        self._record_redacted(connection, position)

    def _record_redacted(self, connection: Connection, position: int) -> None:
        _, key = place_of(connection, self.name)
        connection.execute(insert(redacted_table).values(projection=key, position=position))

    def _handle_or_set_aside(self, connection: Connection, event: Event) -> None:
        connection.exec_driver_sql("SAVEPOINT projection_event")
        try:
            self._handle(connection, event)
        except ProjectionError as error:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT projection_event")
            self.check_tables(connection)
            log.warning("%s; it is set aside", storable(str(error)))
            set_aside(connection, self.name, event.position, error.reason)
        connection.exec_driver_sql("RELEASE SAVEPOINT projection_event")
