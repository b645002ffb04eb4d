"""Named locks of a log on PostgreSQL: one owner at a time, among all hosts.

An advisory lock belongs to a session, here to a connection that does nothing else. It ends with
the session: when the owner's process ends in any way, and when the server or the network closes
the connection. The owner learns of the latter by calling :meth:`SessionLock.check`. The table
``named_lock`` names the owner of each lock, for people. A proxy that pools transactions gives no
session to hold a lock in.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg

from eventstore.errors import StorageError
from eventstore.storage.postgres.connection import CONNECT_SECONDS, connect, is_lost
from eventstore.storage.postgres.engine import LOCK_SCHEMA
from eventstore.storage.postgres.owners import check_owners
from eventstore.storage.postgres.watchdog import Watchdog
from eventstore.storage.protocols import LockHolder
from eventstore.system import fork_hooks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.storage.driver import Driver

ANSWER_SECONDS: Final = 5.0
"""How long an answer may take before the lock counts as lost."""

_LIMITS: Final = (
    # The server releases the lock of a host that has vanished as soon as this side would.
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
_CREATE: Final = f"""
{LOCK_SCHEMA};
CREATE TABLE IF NOT EXISTS named_lock (
    name text COLLATE "C" PRIMARY KEY,
    lock_key bigint NOT NULL,
    owner text NOT NULL,
    note text NOT NULL
)
"""
_WRITE: Final = (
    "INSERT INTO named_lock (name, lock_key, owner, note) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (name) DO UPDATE SET lock_key = excluded.lock_key, owner = excluded.owner, "
    "note = excluded.note"
)
_HELD: Final = (
    "SELECT name, owner, note FROM named_lock n WHERE EXISTS ("
    "SELECT 1 FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database "
    "WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted "
    "AND d.datname = current_database() "
    "AND (l.classid::bigint << 32) | l.objid::bigint = n.lock_key) ORDER BY name"
)


class SessionLock:
    """The lock ``name`` of a log; see :class:`eventstore.log.operations.NamedLock`."""

    def __init__(self, info: str, where: str, name: str) -> None:
        self._info = info
        self._where = where
        self._name = name
        self._key = 0
        self._connection: psycopg.Connection[Any] | None = None
        self._watchdog: Watchdog | None = None
        self._noted: str | None = None
        self.owner = ""

    def try_acquire(self, owner: str) -> bool:
        """Take the lock unless another owner has it; return whether that worked."""
        with self._limited() as connection:
            row = connection.execute(
                "SELECT pg_catalog.pg_try_advisory_lock(%s::pg_catalog.int8)", (self._key,)
            ).fetchone()
            if row and row[0]:
                self.owner, self._noted = owner, None
                self._write_note(connection, "")
                return True
            found = "SELECT owner FROM named_lock WHERE name = %s"
            holder = connection.execute(found, (self._name,)).fetchone()
            self.owner = holder[0] if holder else ""
            return False

    def check(self, note: str) -> None:
        """Raise StorageError once the lock is lost; show ``note`` beside the owner."""
        if self._connection is None:
            raise StorageError(self._where, f"the lock {self._name!r} is not held")
        with self._limited() as connection:
            if note == self._noted:
                connection.execute("SELECT 1")
            else:
                self._write_note(connection, note)

    def release(self) -> None:
        """Release the lock, if it is held, and the connection. Raises nothing."""
        if self._connection is not None:
            with suppress(StorageError), self._limited() as connection:
                connection.execute("SELECT pg_catalog.pg_advisory_unlock_all()")
        self._disconnect()

    def _write_note(self, connection: psycopg.Connection[Any], note: str) -> None:
        text = note.replace("\0", "\\0").encode(errors="backslashreplace").decode()
        connection.execute(_WRITE, (self._name, self._key, self.owner, text))
        self._noted = note

    @contextmanager
    def _limited(self) -> Iterator[psycopg.Connection[Any]]:
        """Give the connection for some quick statements; drop it with the lock if they fail."""
        try:
            if self._connection is None:
                self._connect()
            assert self._connection is not None  # noqa: S101
            assert self._watchdog is not None  # noqa: S101
            with self._watchdog.limit(self._connection, ANSWER_SECONDS):
                yield self._connection
        except StorageError:
            self._disconnect()
            raise
        except (psycopg.Error, OSError) as error:
            self._disconnect()
            reason = " ".join(str(error).split()) or type(error).__name__
            raise StorageError(
                self._where, f"lock {self._name!r}: {reason}", transient=is_lost(error)
            ) from error

    def _connect(self) -> None:
        self._watchdog = Watchdog()
        self._connection = connection = connect(self._info, self._watchdog)
        fork_hooks.track(self)
        with self._watchdog.limit(connection, CONNECT_SECONDS):
            connection.execute(_LIMITS)
            row = connection.execute(
                "SELECT current_schema(), "
                "pg_catalog.to_regclass(pg_catalog.concat("
                "pg_catalog.quote_ident(pg_catalog.current_schema()::pg_catalog.text), "
                "'.named_lock')) IS NOT NULL"
            ).fetchone()
            schema, exists = row or ("", False)
            digest = hashlib.sha256(f"{schema}\0{self._name}".encode(errors="backslashreplace"))
            self._key = int.from_bytes(digest.digest()[:8], signed=True)
            if not exists:
                with connection.transaction():
                    connection.execute(_CREATE.encode())
            check_owners(connection, self._where)

    def _disconnect(self) -> None:
        fork_hooks.untrack(self)
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.close()

    def after_fork(self) -> None:
        """Keep a forked child's copy of the socket from holding a dead parent's lock."""
        if self._connection is not None and not self._connection.closed:
            null = os.open(os.devnull, os.O_RDWR)
            # Replaced rather than closed: the driver closes this descriptor later, and would
            # first send the server an end of session in the parent's name.
            os.dup2(null, self._connection.fileno())
            os.close(null)


def read_held(driver: Driver) -> list[LockHolder]:
    """Return each lock of the log that is held now, by name."""
    if not driver.has_table("named_lock"):
        return []
    return [LockHolder(*row) for row in driver.rows(_HELD)]
