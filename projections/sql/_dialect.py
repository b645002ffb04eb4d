"""What a storage does on its database: connections, migrations, rebuilds and snapshots."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from eventstore import StreamWrite
from eventstore.log.clock import from_microseconds
from eventstore.log.validation import check_append
from projections.sql._identifiers import later_reserved
from projections.sql._migrations import find_migrations, is_applied
from projections.sql._replay import replay_log
from projections.sql.events import CATEGORY, STREAM
from projections.sql.model import ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from eventstore import Appended, NewEvent
    from eventstore.log.clock import Clock
    from eventstore.log.operations import CommitBatch
    from eventstore.storage.movable import MovableSqlBackend
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql._capture import Capture
    from projections.sql._migrations import MigrationFile, Migrator
    from projections.sql._replay import Replay
    from projections.sql._schema import Schema
    from projections.sql.connection import SqlConnection

Recorded: TypeAlias = "tuple[Appended, CommitBatch | None]"
"""The result of an append, with the commit's batch if the notifier carries events."""


class SqlDialect(ABC):
    """Does on one kind of database what :class:`~projections.sql.SqlStorage` promises.

    ``open_transaction`` opens a connection for a user's transactions; ``announce`` wakes followers
    after each durable append.
    """

    name: ClassVar[str]
    """``"sqlite"`` or ``"postgres"``."""
    capture_type: ClassVar[type[Capture[Any]]]
    schema_type: ClassVar[type[Schema[Any]]]
    migrator_type: ClassVar[type[Migrator[Any]]]
    replay_type: ClassVar[type[Replay]]

    def __init__(
        self,
        open_transaction: Callable[[], UserTransaction],
        announce: Callable[[Appended, CommitBatch | None], None],
        clock: Clock,
    ) -> None:
        self._open_transaction = open_transaction
        self._announce = announce
        self._clock = clock

    @abstractmethod
    def connect(self) -> SqlConnection:
        """Return a connection for a caller."""

    @abstractmethod
    def close(self) -> None:
        """Close the idle connections."""

    @abstractmethod
    def _prepare(self, transaction: UserTransaction) -> None:
        """Set a connection up for changes of the schema, before its transaction begins."""

    @abstractmethod
    def _lock_schema(self, transaction: UserTransaction) -> None:
        """Keep others from changing the schema until the transaction ends."""

    @abstractmethod
    def export_snapshot(self, backend: MovableSqlBackend, target: Path) -> int:
        """Write the log and the tables into a file; return their position."""

    @abstractmethod
    def import_snapshot(self, backend: MovableSqlBackend, source: Path) -> int:
        """Replace the log and the tables by those of a snapshot; return their position."""

    def publish(self, recorded: Recorded | None) -> None:
        """Wake followers, if something was appended."""
        if recorded is not None:
            self._announce(*recorded)

    def apply_migrations(self, directory: Path, uncaptured: Collection[str]) -> list[str]:
        """Apply the missing migrations; return their names."""
        migrations = find_migrations(directory, self.name)
        with closing(self._open_transaction()) as transaction, transaction.translated():
            self._prepare(transaction)
            ledger = self.schema_type(transaction.raw).read_ledger()
            missing = [one for one in migrations if not is_applied(one, ledger)]
            return [one.name for one in missing if self._apply(transaction, one, uncaptured)]

    def _apply(
        self, transaction: UserTransaction, migration: MigrationFile, uncaptured: Collection[str]
    ) -> bool:
        """Apply one migration; return False if another process did so in the meantime."""
        with self.changing_schema(transaction):
            raw: Any = transaction.raw
            schema, capture = self.schema_type(raw), self.capture_type(raw)
            if is_applied(migration, schema.read_ledger()):
                return False
            moment = from_microseconds(self._clock()).isoformat()
            make = self.migrator_type
            events = make(raw, schema, capture, migration, moment, uncaptured).apply()
            recorded = append_rows(transaction, events)
        self.publish(recorded)
        return True

    def rebuild(self, check: Callable[[], None] | None = None) -> int:
        """Compute all tables again from the log, in one transaction; return its position.

        ``check`` is called between steps; what it raises rolls everything back.
        """
        with closing(self._open_transaction()) as transaction, transaction.translated():
            self._prepare(transaction)
            with self.changing_schema(transaction):
                capture = self.capture_type(transaction.raw)
                before = set(capture.list_tables())
                position = self.recompute(transaction, check)
                _check_complete(before - set(capture.list_tables()), position)
                if check is not None:
                    check()
        return position

    @contextmanager
    def changing_schema(self, transaction: UserTransaction) -> Iterator[None]:
        """Hold a transaction with the schema's lock; commit it, or roll back on an error."""
        transaction.begin()
        try:
            self._lock_schema(transaction)
            yield
            transaction.commit()
        except BaseException:
            transaction.rollback()
            raise

    def recompute(
        self, transaction: UserTransaction, check: Callable[[], None] | None = None
    ) -> int:
        """Compute all tables again in an open transaction; return the log's last position."""
        raw: Any = transaction.raw
        schema, capture = self.schema_type(raw), self.capture_type(raw)
        names = capture.list_tables()
        reserved = schema.list_later_reserved()
        schema.set_own(schema.list_own_reserved(names))
        sequences, kept = schema.read_sequences(names), schema.set_aside()
        capture.remove()
        schema.drop_tables(names)
        replay = self.replay_type(raw)
        position = replay_log(transaction, replay, check)
        for error in replay.find_taken(reserved):
            raise error
        schema.set_own(later_reserved(replay.tables))
        with replay.without_triggers([one.table for one in kept]):
            schema.put_back(kept)
        schema.restore_sequences(sequences)
        existing = set(schema.list_tables())
        capture.install([schema.read_table(name) for name in replay.tables if name in existing])
        return position


def _check_complete(lost: set[str], position: int) -> None:
    if lost:
        reason = f"the log has no record of the table {min(lost)!r}, which is there"
        raise ReplayError(position, reason)


def append_rows(transaction: UserTransaction, events: Sequence[NewEvent]) -> Recorded:
    """Append a transaction's events to the tables' stream."""
    return transaction.append(check_append([StreamWrite(STREAM, events)], own=CATEGORY))
