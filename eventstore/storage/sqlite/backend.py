"""The log in one SQLite file, or in memory.

Durable by ``synchronous=FULL`` in WAL mode: each commit is fsynced before it returns.
Readers take a snapshot each and never wait for the writer. ``memory://`` is the same
code on one shared connection that lives as long as the store.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from eventstore.errors import ConfigError, NoLogError, StorageError
from eventstore.log.operations import Redact
from eventstore.storage.sqlite import _file_copy
from eventstore.storage.sqlite._backend_reads import SqliteReads
from eventstore.storage.sqlite._brief_reads import BriefReads
from eventstore.storage.sqlite._driver import SqliteDriver
from eventstore.storage.sqlite._hidden_tables import SqliteHiddenTables
from eventstore.storage.sqlite._user_connections import UserConnections
from eventstore.storage.sqlite._write_connection import scrub, write_on
from eventstore.storage.sqlite.connection import (
    USE_WAL,
    ConnectionPool,
    SqliteConnection,
    connect,
    describe_file,
)
from eventstore.storage.sqlite.errors import translate_errors
from eventstore.storage.sqlite.file_identity import LogFiles, check_alone
from eventstore.storage.sqlite.forked_files import check_usable
from eventstore.storage.sqlite.paths import check_present, database_path
from eventstore.storage.sqlite.read_only import is_read_only
from eventstore.storage.sqlite.user_transaction import SqliteUserTransaction
from eventstore.storage.sqlite.write_turn import WAIT_SECONDS, WriteTurn
from eventstore.system.event_loop import check_cancelled
from eventstore.system.owners import keep_for_ever
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from eventstore.log.clock import Clock
    from eventstore.log.inline_view import Inline
    from eventstore.log.operations import CommitBatch, Operation, Outcome
    from eventstore.storage.driver import Driver
    from eventstore.storage.user_transaction import UserTransaction

log = logging.getLogger(__name__)
T = TypeVar("T")


class OlderSchemaError(StorageError):
    """A log that is only read has a schema that would have to be brought up to date first."""


class SqliteBackend(SqliteReads):
    """A log on SQLite; see :class:`eventstore.storage.protocols.Backend`."""

    dialect = "sqlite"
    _foreign = "the file is a database of something else"

    def __init__(
        self,
        url: str | SecretUrl,
        clock: Clock,
        inline: Inline = (),
        write_wait: float = WAIT_SECONDS,
    ) -> None:
        super().__init__(clock, inline)
        self._write_wait = write_wait
        self._wait_check: Callable[[], None] = check_cancelled
        self.url = str(SecretUrl.of(url))
        self.path = database_path(url)
        self._brief: BriefReads | None = None
        self._shared: list[ConnectionPool | UserConnections | BriefReads] = []
        if self.path is not None:
            self._use_file(self.path)
        self._turn: WriteTurn | None = None
        self._writer: SqliteDriver | None = None
        self._read_only = self._is_copy = False
        self._unscrubbed = False
        self._files: LogFiles | None = None
        self._scratch: TemporaryDirectory[str] | None = None
        # A single shared connection can serve one thread at a time only.
        self._memory_lock = threading.RLock()

    def _use_file(self, path: Path) -> None:
        """Make ready to connect to a file."""
        self.path = path
        self._readers, self._users = ConnectionPool(path), UserConnections(path)
        self._brief = BriefReads(path, lambda: self._files)
        self._shared = [self._readers, self._users, self._brief]

    def open(self, *, create: bool = True) -> None:
        """Create or check the schema, and bring inline projections up to date.

        A file that may not be written is opened for reading. Where nothing has to be written,
        no lock is taken: the first write connects for writing.
        """
        if not create:
            with translate_errors(self._where):
                check_present(self.path, self._where)
        with translate_errors(self._where), ExitStack() as undo:
            check_usable()
            undo.callback(self._disconnect)
            self._read_only = self._is_copy or (self.path is not None and is_read_only(self.path))
            current = False
            if self.path is not None:
                check_alone(self.path)
            self._note_files()
            if self._read_only or not create:
                current = self._check_schema(create=create)
            elif not (current := self._is_current_log()):
                self._connect()
                self._note_files()
            self._prepare(current=current)
            undo.pop_all()

    def _check_schema(self, *, create: bool) -> bool:
        """Return whether the schema is up to date, without changing the file."""
        try:
            current = self._read(self._is_current)
        except NoLogError as error:
            if create:
                reason = "this user may not write there, and no log is there to be read"
                raise StorageError(self._where, reason) from error
            raise
        if self._read_only and not current:
            raise OlderSchemaError(
                self._where,
                "its schema is of an older version, and this user may not change it: open it once "
                "as a user who may write there ('eventstore status'), then read again",
            )
        return current

    def _is_current_log(self) -> bool:
        """Whether a log is there whose schema is up to date."""
        if self.path is None or not self.path.exists() or not self.path.stat().st_size:
            return False
        try:
            return self._read(self._is_current)
        except (NoLogError, StorageError):
            return False  # Another database, or one in the making: it is looked at in our turn.

    def watch_waits(self, check: Callable[[], None]) -> None:
        """Call ``check`` while a write waits for its turn; what it raises ends the wait."""
        self._wait_check = check

    def _check_wait(self) -> None:
        check_cancelled()
        self._wait_check()

    def _connect(self) -> SqliteDriver:
        """Connect for writing, which a log that is only read never does."""
        self._make_turn()
        # Within the turn: two connections that switch a fresh file to WAL at once get
        # "database is locked" without waiting for their timeout.
        with self._turn.hold() if self._turn else nullcontext():
            self._writer = SqliteDriver(SqliteConnection(connect(self.path)))
            self._writer.run(USE_WAL)
        return self._writer

    def _writing_driver(self) -> SqliteDriver:
        """Return the connection that writes, made anew where SQLAlchemy has closed it."""
        writer = self._writer
        return self._connect() if writer is None or writer.session.dropped else writer

    def _make_turn(self) -> WriteTurn | None:
        if self.path is not None and self._turn is None:
            self._turn = WriteTurn(self.path, self._write_wait, self._check_wait)
        return self._turn

    def _note_files(self) -> None:
        """Begin to compare the files at the path with those that are there now."""
        self._files = LogFiles(self.path) if self.path is not None else None

    def _disconnect(self) -> None:
        for connections in self._shared:
            connections.close()
        if self._writer is not None:
            self._writer.session.close()
        if self._turn is not None:
            self._turn.close()

    def close(self) -> None:
        """Release every connection."""
        if self._files is not None and not self._read_only and self._files.closing_harms:
            self._abandon()
        with translate_errors(self._where), self._memory_lock:
            self._disconnect()
        if self._scratch is not None:
            self._scratch.cleanup()

    def _abandon(self) -> None:
        """Leave all connections open for good: to close them would remove another log's WAL."""
        for connections in self._shared:
            connections.keep()
        if self._writer is not None:
            keep_for_ever(self._writer.session)
            self._writer = None

    def describe(self) -> dict[str, str | int]:
        """Return the kind, SQLite's version, and the sizes of the file and its WAL."""
        return describe_file(self.path)

    def backup(self, target: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Copy the file as of one moment, while writers go on."""
        if self.path is None:
            return super().backup(target, progress, replace=replace)
        return _file_copy.backup(self.path, target, progress, replace=replace)

    def restore(self, copy: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Put a copy in this log's place, in one transaction."""
        if self.path is None:
            return super().restore(copy, progress, replace=replace)
        return _file_copy.restore(
            copy, self.path, progress, replace=replace, write_wait=self._write_wait
        )

    def open_copy(self, copy: Path) -> SqliteBackend | None:
        """Return an open log that only reads a backup."""
        both = copy.exists() and self.path is not None and self.path.exists()
        if both and self.path is not None and copy.samefile(self.path):
            raise StorageError(str(copy), "it is the log itself: name a backup of it")
        _file_copy.check_readable(copy)
        found = SqliteBackend(self.url, self._clock)
        found._use_file(copy.absolute())
        found._is_copy = True
        try:
            found.open(create=False)
        except OlderSchemaError:
            return self._open_migrated(copy)
        except NoLogError as error:
            raise StorageError(str(copy), "it is no event log") from error
        return found

    def _open_migrated(self, copy: Path) -> SqliteBackend:
        """Return an open log that is a copy of a backup, brought up to date in a private place."""
        scratch = TemporaryDirectory(prefix="eventstore-")
        try:
            target = Path(scratch.name) / "log.db"
            _file_copy.backup(copy, target, lambda *_: None, replace=False)
            found = SqliteBackend(f"sqlite:///{target}", self._clock)
            found._scratch = scratch
            found.open()
        except BaseException as error:
            scratch.cleanup()
            if isinstance(error, StorageError):
                raise StorageError(str(copy), error.reason) from error
            raise
        return found

    def user_transaction(self, *, batch: bool) -> UserTransaction:
        """Return a connection whose own statements and an append share transactions.

        ``batch`` says whether its appends tell what they appended. Raises ConfigError for a log
        in memory, which has one connection only.
        """
        if self.path is None:
            raise ConfigError(f"{self.url} has one connection, its own: use a SQLite file")
        self._check_files()
        with translate_errors(self._where):
            connection = self._users.connect()
        return SqliteUserTransaction(
            connection,
            self.path,
            self._write_wait,
            partial(translate_errors, self._where),
            self._files,
            self._append_in(batch=batch),
        )

    def write(
        self, group: Sequence[Operation], tell: Callable[[CommitBatch], None] | None = None
    ) -> list[Outcome]:
        """Carry out a group in one durable transaction; remove erased content from the WAL too."""
        if self._known.lacks_table:
            # Once in the life of a log: without it SQLite has no cheap way to tell of its making.
            self._known.make_table(self._write)
        outcomes = super().write(group, tell)
        if self.path is not None:
            for operation in group:
                self._unscrubbed |= isinstance(operation, Redact)
            if self._unscrubbed and self._writer is not None:
                turn = self._turn.hold() if self._turn else nullcontext()
                self._unscrubbed = not scrub(self._writer, turn, self._where)
        return outcomes

    def _write(self, function: Callable[[Driver], T]) -> T:
        """Hold the turn to write and a transaction; commit at the end, or leave nothing."""
        if self._read_only:
            raise StorageError(self._where, "this user may read this log, not write to it")
        with translate_errors(self._where):
            writer = self._writing_driver()
            with self._turn.hold() if self._turn else self._memory_lock:
                if self._files is not None:
                    self._files.check_before_write()
                result = write_on(writer, function)
                if self._files is not None:
                    self._files.check_written()
                return result

    def give_way(self, seconds: float) -> None:
        """Pause after a step that took so long, where others wait for their turn to write."""
        if self._turn is not None:
            self._turn.give_way(seconds)

    def hidden(self) -> AbstractContextManager[SqliteHiddenTables] | None:
        """Give a session for temporary tables; ``None`` for a log in memory."""
        return None if self.path is None else self._hidden()

    @contextmanager
    def _hidden(self) -> Iterator[SqliteHiddenTables]:
        with translate_errors(self._where), closing(self._users.connect()) as connection:
            turn = self._make_turn()
            yield SqliteHiddenTables(
                connection, turn.hold if turn else nullcontext, self._check_files
            )
