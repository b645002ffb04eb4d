"""The log in one SQLite file, or in memory.

Durable by ``synchronous=FULL`` in WAL mode: each commit is fsynced before it returns.
Readers take a snapshot each and never wait for the writer. ``memory://`` is the same
code on one shared connection that lives as long as the store.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import ConfigError, StorageError
from eventstore.log.operations import Redact
from eventstore.storage.base import SqlBackend
from eventstore.storage.sqlite import _file_copy
from eventstore.storage.sqlite._driver import SqliteDriver
from eventstore.storage.sqlite.engine import BUSY_SECONDS, make_engine, translate_errors
from eventstore.storage.sqlite.paths import database_path
from eventstore.storage.sqlite.user_transaction import SqliteUserTransaction
from eventstore.storage.sqlite.write_turn import WriteTurn
from eventstore.storage.user_transaction import append_in
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from eventstore.log.clock import Clock
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.operations import CommitBatch, Operation, Outcome
    from eventstore.storage.driver import Driver
    from eventstore.storage.user_transaction import UserTransaction

log = logging.getLogger(__name__)
T = TypeVar("T")

SCRUB_MS: Final = 1_000
"""How long a redaction waits for readers to leave, in milliseconds."""


class SqliteBackend(SqlBackend):
    """A log on SQLite; see :class:`eventstore.storage.protocols.Backend`."""

    dialect = "sqlite"

    def __init__(
        self, url: str | SecretUrl, clock: Clock, inline: Sequence[InlineProjection] = ()
    ) -> None:
        super().__init__(clock, inline)
        self.url = str(SecretUrl.of(url))
        self.path = database_path(url)
        self._turn: WriteTurn | None = None
        self._unscrubbed = False
        # A single shared connection can serve one thread at a time only.
        self._memory_lock = threading.RLock()

    def open(self) -> None:
        """Create or check the schema, and bring inline projections up to date."""
        with translate_errors(self._where), ExitStack() as undo:
            self._engine = make_engine(self.path)
            undo.callback(self._engine.dispose)
            self._user_engine = make_engine(self.path, pooled=False)
            if self.path is not None:
                self._turn = WriteTurn(self.path)
                undo.callback(self._turn.close)
            # Within the turn: two connections that switch a fresh file to WAL at once get
            # "database is locked" without waiting for their timeout.
            with self._turn.hold() if self._turn else nullcontext():
                self._writer = self._engine.connect()
                undo.callback(self._writer.close)
            self._identity = _identity(self.path)
            self._prepare()
            undo.pop_all()

    def close(self) -> None:
        """Release every connection."""
        with self._memory_lock:
            self._writer.close()
        self._engine.dispose()
        if self._turn is not None:
            self._turn.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, SQLite's version, and the sizes of the file and its WAL."""
        facts: dict[str, str | int] = {
            "backend": "sqlite" if self.path else "memory",
            "sqlite": sqlite3.sqlite_version,
        }
        if self.path is not None:
            wal = self.path.with_name(self.path.name + "-wal")
            facts |= {
                "file": str(self.path),
                "bytes": self.path.stat().st_size,
                "wal_bytes": wal.stat().st_size if wal.exists() else 0,
            }
        return facts

    def backup(self, target: Path, progress: Callable[[int, int], None]) -> int:
        """Copy the file as of one moment, while writers go on."""
        if self.path is None:
            return super().backup(target, progress)
        return _file_copy.backup(self.path, target, progress)

    def restore(self, copy: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
        """Put a copy in this log's place, in one transaction."""
        if self.path is None:
            return super().restore(copy, progress, replace=replace)
        return _file_copy.restore(copy, self.path, progress, replace=replace)

    def user_transaction(self, *, batch: bool) -> UserTransaction:
        """Return a connection whose own statements and an append share transactions.

        ``batch`` says whether its appends tell what they appended. Raises ConfigError for a log
        in memory, which has one connection only.
        """
        if self.path is None:
            raise ConfigError(f"{self.url} has one connection, its own: use a SQLite file")
        self._check_same_file()
        with translate_errors(self._where):
            connection = self._user_engine.connect()
        return SqliteUserTransaction(
            connection,
            self.path,
            partial(translate_errors, self._where),
            self._check_same_file,
            partial(append_in, inline=self._inline, clock=self._clock, batch=batch),
        )

    def write(
        self, group: Sequence[Operation], tell: Callable[[CommitBatch], None] | None = None
    ) -> list[Outcome]:
        """Carry out a group in one durable transaction; remove erased content from the WAL too."""
        outcomes = super().write(group, tell)
        if self.path is not None:
            self._unscrubbed |= any(isinstance(operation, Redact) for operation in group)
            if self._unscrubbed:
                self._scrub()
        return outcomes

    def _scrub(self) -> None:
        """Empty the WAL, whose older frames still hold what was erased.

        Readers of an older snapshot prevent it. It is then retried after each later write;
        closing the last connection empties the WAL as well.
        """
        try:
            with self._turn.hold() if self._turn else nullcontext():
                raw = SqliteDriver(self._writer)
                raw.run(f"PRAGMA busy_timeout={SCRUB_MS}")
                try:
                    row = raw.row("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    raw.run(f"PRAGMA busy_timeout={int(BUSY_SECONDS * 1000)}")
        except (sqlite3.Error, SQLAlchemyError, OSError):
            # The redaction itself is durable; this part is retried after the next write.
            log.warning("%s: the WAL cannot be emptied yet", self._where, exc_info=True)
            return
        self._unscrubbed = row is None or row[0] != 0
        if self._unscrubbed:
            log.warning("%s: a reader keeps erased content in the WAL for now", self._where)

    @property
    def _where(self) -> str:
        return str(self.path) if self.path else self.url

    def _check_same_file(self) -> None:
        """Raise StorageError once another file, or none, is at the path.

        SQLite would go on with the old file: appends to it would be lost silently, and a
        subscription would never see another event.
        """
        if _identity(self.path) != self._identity:
            raise StorageError(
                self._where, "the file was replaced or removed: close the store and open it again"
            )

    def _write(self, function: Callable[[Driver], T]) -> T:
        """Hold the turn to write and a transaction; commit at the end, or leave nothing."""
        with (
            translate_errors(self._where),
            self._memory_lock if self._turn is None else self._turn.hold(),
        ):
            self._check_same_file()
            driver = SqliteDriver(self._writer)
            driver.run("BEGIN IMMEDIATE")
            try:
                result = function(driver)
                driver.run("COMMIT")
            except BaseException:
                self._writer.rollback()
                if driver.in_transaction:
                    driver.run("ROLLBACK")
                raise
            # Ends the transaction that SQLAlchemy began for a projection's statements.
            self._writer.commit()
            return result

    @contextmanager
    def _snapshot(self) -> Iterator[Driver]:
        with translate_errors(self._where):
            if self.path is None:
                with self._memory_lock:
                    yield SqliteDriver(self._writer)
                return
            self._check_same_file()
            with self._engine.connect() as connection:
                driver = SqliteDriver(connection)
                driver.run("BEGIN")
                try:
                    yield driver
                finally:
                    driver.run("ROLLBACK")


def _identity(path: Path | None) -> tuple[int, int] | None:
    if path is None:
        return None
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
