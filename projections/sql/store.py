"""The storage interface: SQL connections whose row changes are appended to the log."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from eventstore.config import keys_in_force
from eventstore.errors import ConfigError, ForkedError, StoreClosedError
from eventstore.log.clock import system_clock
from eventstore.notify.notifiers import make_notifier
from eventstore.notify.protocol import LogIdentity
from eventstore.storage.backends import make_backend
from eventstore.storage.movable import MovableSqlBackend
from eventstore.system.contexts import BlockingContext
from eventstore.system.owners import ProcessGuard, close_beside, warn_unclosed
from eventstore.system.secret_url import SecretUrl
from projections.sql._dialects import dialect_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from eventstore import Appended
    from eventstore.log.clock import Clock
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.operations import CommitBatch
    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql.connection import SqlConnection


class SqlStorage(BlockingContext):
    """A program's tables beside the log at ``url``, in the same database.

    Rows are changed through :meth:`connection`; each transaction that changes rows appends one
    event to the stream ``sql/main`` in that same transaction. It opens at its first use. Any thread
    may use it; in a forked child every method raises ForkedError, and the child makes one of its
    own. ``inline`` are the inline projections that all writers of the log have; ``notify`` and
    ``notify_keys`` are those of :meth:`eventstore.EventStore.open`.
    """

    def __init__(
        self,
        url: str,
        *,
        notify: str = "auto",
        notify_keys: Sequence[str] | None = None,
        inline: Sequence[InlineProjection] = (),
        clock: Clock = system_clock,
    ) -> None:
        backend = make_backend(url, clock, inline)
        if not isinstance(backend, MovableSqlBackend) or SecretUrl(url).scheme == "memory":
            raise ConfigError(
                f"{backend.url} cannot keep tables: name a SQLite file or a PostgreSQL"
            )
        self._backend = backend
        self.url = self._backend.url
        """Names the database, without a password."""
        keys = keys_in_force() if notify_keys is None else notify_keys
        self._notifier = make_notifier(notify, url, self._backend.path, keys)
        self._guard = ProcessGuard(f"the storage {self.url}")
        self._lock = threading.Lock()
        self._publishing = threading.Lock()
        self._state = "new"
        make_dialect = dialect_type(backend.dialect)
        self._dialect = make_dialect(self._open_transaction, self._publish, clock)

    @property
    def backend_name(self) -> str:
        """``"sqlite"`` or ``"postgres"``."""
        return self._dialect.name

    def open(self) -> Self:
        """Open the log now rather than at the first use. Raises ForkedError in a forked child."""
        self._guard.check()
        with self._lock:
            if self._state == "closed":
                raise StoreClosedError(f"the storage {self.url} is closed: make another")
            if self._state == "new":
                self._backend.open()
                self._identity = self._identify()
                self._state = "open"
        return self

    def close(self) -> None:
        """Close the log. Connections that are in use stay open until their callers close them."""
        self._guard.check()
        with self._lock:
            if self._state == "open":
                self._notifier.close()
                self._dialect.close()
                self._backend.close()
            self._state = "closed"

    def __del__(self) -> None:
        """Warn of a storage that was never closed, and close it beside the program's threads."""
        if getattr(self, "_state", "") != "open" or self._guard.forked:
            return
        self._state = "closed"
        close_beside(self._notifier.close, self._dialect.close, self._backend.close)
        warn_unclosed(self, f"the storage {self.url}", "use 'with', or call its close()")

    @contextmanager
    def connection(self) -> Iterator[SqlConnection]:
        """Give a connection: it commits at the end, or rolls back if the block raises, and closes.

        Raises sqlite3's errors for statements, SqlRefusedError for a statement whose effects would
        not be recorded, LimitExceededError where a transaction exceeds a commit's limits.
        """
        self.open()
        connection = self._dialect.connect()
        try:
            yield connection
            connection.finish()
        except BaseException:
            with suppress(ForkedError):  # In a forked child the block's own error says more.
                connection.close()
            raise
        connection.close()

    def apply_migrations(
        self, migrations_dir: Path, *, uncaptured: Collection[str] = ()
    ) -> list[str]:
        """Apply each ``.sql`` file of a directory once, in the order of their names.

        Each is one transaction with its row in ``schema_migrations`` and its events. Returns the
        names (file stems) of those that were applied now. Of the tables that they make, those of
        ``uncaptured`` may be without a primary key: their rows are not recorded. Raises
        MigrationError, which names the file, for one that fails or was changed after it had been
        applied.
        """
        return self._dialect.apply_migrations(migrations_dir, uncaptured)

    def rebuild(self, check: Callable[[], None] | None = None) -> int:
        """Drop the tables and compute them again from the log; return the position they are at.

        One transaction: readers see the old tables until it ends, and writers wait for it.
        ``check`` is called before each page of the log and before the commit; what it raises is
        raised here, and the old tables stay.
        """
        return self._dialect.rebuild(check)

    def export_snapshot(self, dest: Path) -> int:
        """Write the log and the tables, as of one moment, into one file; return its position.

        Writers go on meanwhile. A file that is there is replaced, once the new one is whole.
        """
        self.open()
        return self._dialect.export_snapshot(self._backend, dest)

    def import_snapshot(self, src: Path) -> int:
        """Replace log and tables by a snapshot's, in one transaction; return their position.

        On SQLite the snapshot replaces everything in the file; on PostgreSQL, where a log never
        loses events, NotEmptyError is raised unless the log is empty. Raises ArchiveError, and
        changes nothing, for a file whose checksum differs.
        """
        self.open()
        position = self._dialect.import_snapshot(self._backend, src)
        self._backend.renew_incarnation()
        self._identity = self._identify()
        with self._publishing:
            self._notifier.publish(self._identity, position, None)
        return position

    def _identify(self) -> LogIdentity:
        head, incarnation = self._backend.identify()
        return LogIdentity(head.log_id, incarnation)

    def _open_transaction(self) -> UserTransaction:
        self.open()
        return self._backend.user_transaction(batch=self._notifier.carries_batches)

    def _publish(self, appended: Appended, batch: CommitBatch | None) -> None:
        with self._publishing:
            self._notifier.publish(self._identity, appended.position, batch)
