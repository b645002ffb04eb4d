"""The databases that followed views live in, and what differs between them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from eventstore.errors import ConfigError
from eventstore.storage.backends import ALIASES
from eventstore.storage.sqlite.backend import database_path, make_engine, translate_errors
from eventstore.storage.sqlite.write_turn import WriteTurn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, MetaData


class Rebuildable(Protocol):
    """What a rebuild needs of a view; see :class:`projections.TableProjection`."""

    name: str

    @property
    def metadata(self) -> MetaData:
        """The view's own tables."""

    def create(self, connection: Connection) -> None:
        """Create ledger and tables where there are none."""

    def reset(self, connection: Connection) -> None:
        """Empty the view, as if no event had been applied."""

    def is_current(self, connection: Connection) -> bool:
        """Whether the tables that are there are of the view's present version."""

    def take_over(self, connection: Connection, schema: str) -> None:
        """Take what the ledger of another schema says about the view."""


class Rebuild(Protocol):
    """A view that is being computed again where no reader sees it."""

    def step(self) -> AbstractContextManager[Connection]:
        """Give a connection on which the view's tables are the new ones."""

    def finish(self) -> None:
        """Put the new view in the place of the old one."""

    def abandon(self) -> None:
        """Drop the new view; the old one stays as it is. Raises nothing."""


class Database(Protocol):
    """Where followed views live. Every method raises StorageError where the database fails."""

    url: str
    """Names it in messages: as it was given, without a password."""

    def open(self) -> None:
        """Make ready to connect."""

    def close(self) -> None:
        """Release every connection."""

    def forget(self) -> None:
        """Drop connections that are not in use: whatever ended one may have ended all."""

    def transaction(self) -> AbstractContextManager[Connection]:
        """Give a connection in a transaction that writes: commit, or leave nothing."""

    def lock_setup(self, connection: Connection) -> None:
        """Keep others from creating tables until the transaction ends."""

    def rebuild(self, view: Rebuildable, check: Callable[[Connection], None]) -> Rebuild:
        """Begin to compute a view again; ``check`` raises once it belongs to somebody else."""


def make_database(url: str) -> Database:
    """Return the database that ``url`` names; raise ConfigError where views cannot live there."""
    scheme = url.partition(":")[0]
    if ALIASES.get(scheme, scheme) == "postgresql":
        try:
            from projections.tables.postgres import PostgresDatabase  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                f"views on PostgreSQL need the driver: pip install 'ruletide[postgres]' ({error})"
            ) from error
        return PostgresDatabase(url)
    if scheme not in {"sqlite", "memory"}:
        # Without what follows the scheme: that may hold a password.
        raise ConfigError(f"a view cannot live in {scheme}://…: name a SQLite file or a PostgreSQL")
    return SqliteDatabase(url)


class SqliteDatabase:
    """A SQLite file. A rebuild is one transaction: readers see the old view until it commits.

    Whoever else writes to the file waits for it, appends too where it is the log's own.
    """

    def __init__(self, url: str) -> None:
        path = database_path(url)
        if path is None:
            raise ConfigError(
                f"a followed view cannot live in {url!r}: name a SQLite file or a PostgreSQL"
            )
        self.url = url
        self._path = path

    def open(self) -> None:
        """Make ready to connect, and to take turns at writing."""
        with translate_errors(str(self._path)):
            self._turn = WriteTurn(self._path)
            self._engine = make_engine(self._path)

    def close(self) -> None:
        """Release every connection."""
        self._engine.dispose()
        self._turn.close()

    def forget(self) -> None:
        """Do nothing: a file has no connections to lose."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection in a transaction that writes: commit, or leave nothing."""
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

    def lock_setup(self, connection: Connection) -> None:
        """Do nothing: a transaction that writes has the file for itself."""

    def rebuild(self, view: Rebuildable, check: Callable[[Connection], None]) -> Rebuild:
        """Begin to compute a view again, in a transaction that nobody else sees."""
        return _OneTransaction(self, view, check)


class _AbandonedError(Exception):
    """Rolls a transaction back."""


class _OneTransaction:
    def __init__(
        self, database: SqliteDatabase, view: Rebuildable, check: Callable[[Connection], None]
    ) -> None:
        with ExitStack() as undo:
            self._connection = undo.enter_context(database.transaction())
            check(self._connection)
            view.reset(self._connection)
            self._open = undo.pop_all()

    def step(self) -> AbstractContextManager[Connection]:
        return nullcontext(self._connection)

    def finish(self) -> None:
        self._open.close()

    def abandon(self) -> None:
        error = _AbandonedError()
        self._open.__exit__(type(error), error, None)
