"""Followed projections in a SQLite file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import quote

from eventstore.config import write_wait_in_force
from eventstore.errors import ConfigError
from eventstore.storage.sqlite.engine import keep_connections, make_engine
from eventstore.storage.sqlite.errors import translate_errors
from eventstore.storage.sqlite.file_identity import LogFiles
from eventstore.storage.sqlite.paths import database_path
from eventstore.storage.sqlite.write_turn import WriteTurn
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from projections.tables.database import Rebuild, Rebuildable


class SqliteDatabase:
    """A SQLite file; see :class:`projections.tables.database.Database`.

    A rebuild is one transaction: readers see the old tables until it commits. Other writers of
    the file wait for it; where the file is the log's own, those are appends. Once the file, its
    ``-wal`` or its ``-shm`` was removed or replaced, each transaction raises FileChangedError: what
    it would write is in a file that readers do not find.
    """

    identifier_bytes: int | None = None
    one_writer = True

    def __init__(self, given: str | SecretUrl) -> None:
        url = SecretUrl.of(given)
        path = database_path(url)
        if path is None:
            raise ConfigError(
                f"a followed projection cannot live in {url!r}: name a SQLite file or a PostgreSQL"
            )
        self.url = str(url)
        self._path = path
        self._files: LogFiles | None = None
        self._turn: WriteTurn | None = None

    def reach(self, schema: str) -> str:  # noqa: ARG002 - a file has one
        """Return a URL that names the file from any directory."""
        return f"sqlite:///{quote(str(self._path))}"

    @property
    def identity(self) -> object:
        """Which file was at the path at the first transaction since it was opened."""
        return None if self._files is None else self._files.main

    def open(self) -> None:
        """Make ready to connect."""
        with translate_errors(str(self._path)):
            self._engine = make_engine(self._path)
            self._files = None

    def close(self) -> None:
        """Release every connection; leave those open whose closing would remove another's WAL."""
        if self._files is not None and self._files.closing_harms:
            keep_connections(self._engine)
        with translate_errors(str(self._path)):
            self._engine.dispose()
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.close()

    def drop_idle_connections(self) -> None:
        """Do nothing: connections to a file are not lost."""

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Give a connection in a write transaction: commit at the end, or roll back."""
        with (
            translate_errors(str(self._path)),
            self._write_turn().hold(),
            self._engine.connect() as connection,
        ):
            if self._files is None:
                self._files = LogFiles(self._path)
            else:
                self._files.check_before_write()
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.exec_driver_sql("ROLLBACK")
                raise
            connection.exec_driver_sql("COMMIT")
            self._files.check_written()

    def _write_turn(self) -> WriteTurn:
        if self._turn is None:  # Reading makes no lock file.
            self._turn = WriteTurn(self._path, write_wait_in_force())
        return self._turn

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Give a connection that only reads, without a turn; ``None`` where there is no file."""
        if not self._path.exists():
            yield None
            return
        with translate_errors(str(self._path)), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def lock_setup(self, connection: Connection) -> None:
        """Do nothing: SQLite lets one write transaction at a time into a file."""

    def newer_computing(self, connection: Connection, name: str, version: int) -> None:
        """Return None: others wait until the transaction of a rebuild has ended."""

    def rebuild(self, projection: Rebuildable, check: Callable[[Connection], None]) -> Rebuild:
        """Begin to compute a projection again, in a transaction that readers do not see."""
        return _OneTransaction(self, projection, check)


class _AbandonedError(Exception):
    """Rolls a transaction back."""


class _OneTransaction:
    def __init__(
        self, database: SqliteDatabase, projection: Rebuildable, check: Callable[[Connection], None]
    ) -> None:
        with ExitStack() as undo:
            self._connection = undo.enter_context(database.transaction())
            check(self._connection)
            projection.reset(self._connection)
            self._open = undo.pop_all()

    def step(self) -> AbstractContextManager[Connection]:
        return nullcontext(self._connection)

    def finish(self) -> None:
        self._open.close()

    def abandon(self) -> None:
        error = _AbandonedError()
        self._open.__exit__(type(error), error, None)
