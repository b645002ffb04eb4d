"""What the storage does in the same way on each database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from eventstore import StreamWrite
from eventstore.log.clock import from_microseconds
from eventstore.log.validation import check_append
from projections.sql.events import STREAM
from projections.sql.migrations import find_migrations, is_applied
from projections.sql.model import ReplayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from eventstore import Appended, NewEvent
    from eventstore.log.clock import Clock
    from eventstore.log.operations import CommitBatch
    from eventstore.storage.base import SqlBackend
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql.migrations import Migration

Recorded: TypeAlias = "tuple[Appended, CommitBatch | None]"


class Side(ABC):
    """Does on one database what :class:`~projections.sql.SqlStorage` promises.

    ``make_guest`` gives a connection, ``publish`` is told of each append once it is durable.
    """

    backend_name: ClassVar[str]

    def __init__(
        self,
        make_guest: Callable[[], UserTransaction],
        publish: Callable[[Appended, CommitBatch | None], None],
        clock: Clock,
    ) -> None:
        self.make_guest = make_guest
        self._publish = publish
        self._clock = clock

    @abstractmethod
    def connect(self) -> Any:
        """Return a connection for a caller."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections that nobody uses."""

    @abstractmethod
    def ledger(self, guest: UserTransaction) -> dict[str, str]:
        """Return the checksum of each migration that was applied, by name."""

    @abstractmethod
    def migrate(self, guest: UserTransaction, migration: Migration, moment: str) -> list[NewEvent]:
        """Run a migration in the guest's transaction; return what to append."""

    @abstractmethod
    def captured(self, guest: UserTransaction) -> list[str]:
        """Return the names of the tables that are captured."""

    @abstractmethod
    def recompute(self, guest: UserTransaction) -> int:
        """Compute all tables again in the guest's transaction; return the log's position."""

    @abstractmethod
    def prepare(self, guest: UserTransaction) -> None:
        """Make a connection ready for changes of the schema."""

    @abstractmethod
    def lock(self, guest: UserTransaction) -> None:
        """Keep others from changing the schema until the transaction ends."""

    @abstractmethod
    def export_snapshot(self, backend: SqlBackend, target: Path) -> int:
        """Write log and tables into a file; return the position that they are at."""

    @abstractmethod
    def import_snapshot(self, backend: SqlBackend, source: Path) -> int:
        """Become what a snapshot holds; return the position that it is at."""

    def done(self, recorded: Recorded | None) -> None:
        """Wake followers, if something was appended."""
        if recorded is not None:
            self._publish(*recorded)

    def apply_migrations(self, directory: Path) -> list[str]:
        """Apply what is missing; return the names of what was applied."""
        migrations = find_migrations(directory, self.backend_name)
        with closing(self.make_guest()) as guest, guest.translated():
            self.prepare(guest)
            ledger = self.ledger(guest)
            missing = [one for one in migrations if not is_applied(one, ledger)]
            return [one.name for one in missing if self._apply(guest, one)]

    def _apply(self, guest: UserTransaction, migration: Migration) -> bool:
        guest.begin()
        try:
            self.lock(guest)
            if is_applied(migration, self.ledger(guest)):
                guest.rollback()  # Another process did.
                return False
            moment = from_microseconds(self._clock()).isoformat()
            recorded = append_rows(guest, self.migrate(guest, migration, moment))
            guest.commit()
        except BaseException:
            guest.rollback()
            raise
        self._publish(*recorded)
        return True

    def rebuild(self) -> int:
        """Compute all tables again from the log, in one transaction; return its position."""
        with closing(self.make_guest()) as guest, guest.translated():
            self.prepare(guest)
            guest.begin()
            try:
                self.lock(guest)
                before = set(self.captured(guest))
                position = self.recompute(guest)
                _check_lost(before - set(self.captured(guest)), position)
                guest.commit()
            except BaseException:
                guest.rollback()
                raise
        return position


def _check_lost(lost: set[str], position: int) -> None:
    if lost:
        reason = f"the log has no record of the table {min(lost)!r}, which is there"
        raise ReplayError(position, reason)


def append_rows(guest: UserTransaction, events: Sequence[NewEvent]) -> Recorded:
    """Append a transaction's events to the tables' stream."""
    return guest.append(check_append([StreamWrite(STREAM, events)]))
