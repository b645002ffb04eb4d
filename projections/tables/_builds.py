"""A new version of a projection, built beside the old one: what both databases share.

The new tables are in the old ones' database, where only statements within :meth:`Build.inside`
find them. Their checkpoint is a row of the table ``projection_building``, so that a build outlives
its process. At the end the names change hands, and no row is copied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import delete, insert, inspect, select, update

from eventstore.errors import ProjectionVersionError
from eventstore.log.inline_projection import BuildGoneError
from projections.tables.checkpoints import (
    BUILDING,
    building_table,
    building_tables,
    checkpoint_of_build,
    own_schema,
    own_schema_only,
    projection_table,
    redacted_table,
    set_aside_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, MetaData

    from eventstore.log.events import Cursor
    from projections.tables.ledger import Ledger

SEPARATOR: Final = "\x1f"
"""Stands between name and version in a build's key: a projection's name has no such character."""


class Built(Protocol):
    """What a build needs of a projection; see :class:`projections.TableProjection`."""

    name: str

    @property
    def version(self) -> int:
        """Rises with each change to tables or meaning."""

    @property
    def metadata(self) -> MetaData:
        """The projection's own tables."""

    def outdated(self, connection: Connection) -> bool:
        """Whether the tables are of another version than the present one, or are missing."""

    def checkpoint(self, connection: Connection) -> tuple[Cursor | None, int]:
        """Return the checkpoint and the version of the tables, the row locked."""


class Build(ABC):
    """See :class:`eventstore.log.inline_projection.Build`."""

    def __init__(self, connection: Connection, projection: Built, ledger: Ledger) -> None:
        self._connection = connection
        self._projection = projection
        self._ledger = ledger
        self._tables = projection.metadata.sorted_tables
        self._key = f"{projection.name}{SEPARATOR}{projection.version}"
        self._quote = connection.dialect.identifier_preparer.quote
        self._own = own_schema(connection)
        seed = f"{self._own}{SEPARATOR}{projection.name}"
        self.holders: Sequence[int] = ()
        self._digest = sha256(seed.encode()).hexdigest()[:16]

    @abstractmethod
    def _is_movable(self) -> bool:
        """Whether the tables can be built here, and swapped."""

    @abstractmethod
    def _create(self) -> bool:
        """Create the new tables; return False, having created none, where they cannot be moved."""

    @abstractmethod
    def _columns(self, table: str) -> tuple[str, ...]:
        """Return the columns of a new table, none where it is not there."""

    @abstractmethod
    def _enter(self) -> None:
        """Let the declared names mean the new tables."""

    @abstractmethod
    def _leave(self) -> None:
        """Let the declared names mean the old tables again."""

    @abstractmethod
    def _lock_old(self, seconds: float) -> bool:
        """Keep readers from the old tables; return False where they hold them for too long."""

    @abstractmethod
    def _replace(self) -> None:
        """Give the new tables their names for good, the old ones being put away."""

    @abstractmethod
    def _drop_old(self) -> None:
        """Put away the tables that the declared names mean now."""

    @abstractmethod
    def _remove(self, version: int) -> None:
        """Put away the tables of a build, as far as they are there."""

    def begin(self) -> bool:
        """Begin, or go on with what is there; return False where the tables cannot be swapped."""
        with own_schema_only(self._connection, self._own):
            building_tables.create_all(self._connection)
        if not self._is_movable():
            return False
        if self._is_there() and self._is_whole():
            return True
        self.discard()
        self._ledger.check_names()
        if not self._create():
            return False
        row = {"name": self._key, "version": self._projection.version, "epoch": 0}
        self._connection.execute(insert(building_table), row)
        return True

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the connection's statements find the new tables and their checkpoint."""
        # A table that a stranger dropped would on PostgreSQL be found in the old version.
        if not (self._is_there() and self._is_whole()):
            raise BuildGoneError
        self._enter()
        with checkpoint_of_build(self._connection, self._key):
            yield
        self._leave()

    def swap(self, seconds: float) -> bool:
        """Replace the old version by this one; see the protocol."""
        connection, projection = self._connection, self._projection
        if not self._is_there():
            raise BuildGoneError
        at, stored = projection.checkpoint(connection)
        if stored > projection.version:
            raise ProjectionVersionError(projection.name, projection.version, stored)
        # What is there may be of this version and lack events that were trimmed since.
        if not projection.outdated(connection) and self._position() <= (at.position if at else 0):
            self.discard()
            return True
        self._ledger.check_names()
        if not self._lock_old(seconds):
            return False
        self._replace()
        self._ledger.enter_all()
        self._take_checkpoint()
        return True

    def discard(self) -> None:
        """Let go of what was built."""
        self._discard(self._projection.version)

    def drop_live(self, seconds: float) -> bool:
        """Remove the live version's tables, and what the ledger says of them.

        Returns False where readers hold them for so long: the transaction is to be rolled back.
        """
        if not self._lock_old(seconds):
            return False
        self._drop_old()
        self._ledger.forget()
        return True

    def leftovers(self) -> bool:
        """Whether something is left of builds that this version makes void."""
        return bool(self._void_builds())

    def clear(self, rows: int) -> bool:  # noqa: ARG002
        """Remove it; return whether more is left."""
        for version in self._void_builds():
            self._discard(version)
        return False

    def _void_builds(self) -> list[int]:
        """Return the versions of builds that are lower, or the present one where that is there."""
        connection, projection = self._connection, self._projection
        if not inspect(connection).has_table(building_table.name, schema=self._own):
            return []
        beginning = projection.name + SEPARATOR
        found = connection.execute(select(building_table.c.name, building_table.c.version)).all()
        mine = [row.version for row in found if row.name.startswith(beginning)]
        void = [version for version in mine if version < projection.version]
        if projection.version in mine and not projection.outdated(connection):
            void.append(projection.version)
        return void

    def _name(self, version: int) -> str:
        """Return the beginning of the names of a build's tables, or the name of its schema."""
        return f"{BUILDING}{self._digest}_{version}"

    def _is_there(self) -> bool:
        """Whether the build has a checkpoint, which is locked."""
        c = building_table.c
        found = select(c.name).where(c.name == self._key).with_for_update()
        return self._connection.execute(found).first() is not None

    def _position(self) -> int:
        """Return the position that the build has reached."""
        c = building_table.c
        return int(self._connection.scalar(select(c.position).where(c.name == self._key)) or 0)

    def _is_whole(self) -> bool:
        """Whether each declared table is there, with its columns."""
        for table in self._tables:
            computed = {column.name for column in table.columns if column.computed is not None}
            found = {*self._columns(table.name)} - computed  # SQLite does not list them.
            if found != {column.name for column in table.columns} - computed or not found:
                return False
        return True

    def _discard(self, version: int) -> None:
        connection = self._connection
        self._remove(version)
        key = f"{self._projection.name}{SEPARATOR}{version}"
        for table in (set_aside_table, redacted_table):
            connection.execute(delete(table).where(table.c.projection == key))
        connection.execute(delete(building_table).where(building_table.c.name == key))

    def _take_checkpoint(self) -> None:
        connection, name = self._connection, self._projection.name
        c = building_table.c
        taken = ("version", "log_id", "position", "hash")
        row = connection.execute(select(*(c[one] for one in taken)).where(c.name == self._key))
        connection.execute(
            update(projection_table)
            .where(projection_table.c.name == name)
            .values(dict(zip(taken, row.one(), strict=True)))
        )
        for table in (set_aside_table, redacted_table):
            c = table.c
            connection.execute(delete(table).where(c.projection == name))
            connection.execute(
                update(table).where(c.projection == self._key).values(projection=name)
            )
        connection.execute(delete(building_table).where(building_table.c.name == self._key))
