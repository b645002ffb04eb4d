"""The database that a copy of the tables lives in."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventstore import Cursor
from eventstore.errors import ConfigError, HistoryDivergedError, ProjectionError
from projections.sql._identifiers import CAPTURE
from projections.sql.model import ReplayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from eventstore import Event
    from projections.sql._replay import Replay
    from projections.sql._schema import Schema

STATE: Final = f"{CAPTURE}_copy"
"""The table with the copy's one row: log id, position, hash, captured tables (JSON)."""


class CopyDatabase(ABC):
    """Does on one kind of database what :class:`~projections.sql.SqlCopy` promises."""

    replay_type: ClassVar[type[Replay]]
    schema_type: ClassVar[type[Schema[Any]]]
    create_state: ClassVar[str]
    """The statement that creates :data:`STATE` where it is missing."""
    store_state: ClassVar[str]
    """The statement that replaces its row, with four parameters."""
    begin: ClassVar[str]
    """The statement that begins a transaction that writes."""

    def __init__(self, name: str, place: str) -> None:
        self.name = name
        self.place = place
        """Names the database, without a password."""
        self._raw: Any = None
        self._tables: list[str] = []
        self._tables_before: list[str] = []
        self._rebuilding = False

    @abstractmethod
    def _connect(self) -> None:
        """Set ``_raw`` to a connection in autocommit mode, and lock the copy.

        Raises ProjectionBusyError where another runner holds it.
        """

    @abstractmethod
    def _list_objects(self) -> list[str]:
        """Return the names of tables, and of the other objects that a rebuild would drop."""

    def _configure(self) -> None:  # noqa: B027 - most databases need nothing
        """Set up a database that is a copy's or empty."""

    @abstractmethod
    def _translated(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into StorageError."""

    @abstractmethod
    def _roll_back(self) -> None:
        """Roll back, where there is a connection and a transaction."""

    @abstractmethod
    def _disconnect(self, raw: Any) -> None:
        """Close the connection, if there is one, and release the lock."""

    @property
    def _connection(self) -> Any:
        if self._raw is None:
            raise RuntimeError("a runner opens the copy before it uses it")
        return self._raw

    def open(self, log_id: str) -> Cursor | None:
        """Lock the copy; return its cursor, ``None`` for a new one."""
        try:
            with self._translated():
                self._connect()
                self._check_objects()
                self._configure()
                self._raw.execute(self.create_state)
                row = self._raw.execute(
                    f"SELECT log_id, position, hash, tables FROM {STATE}"
                ).fetchone()
            return None if row is None else self._read_state(log_id, *row)
        except BaseException:
            self.close()
            raise

    def _check_objects(self) -> None:
        # A rebuild drops views, triggers and functions: never those of another program.
        known = self._list_objects()
        if known and STATE not in known:
            raise ConfigError(
                f"{self.place} is no copy of these tables, and holds {min(known)!r}: name a place "
                "with nothing in it"
            )

    def _read_state(
        self, log_id: str, copied_log: str, position: int, digest: bytes, tables: str
    ) -> Cursor:
        if copied_log != log_id:
            raise HistoryDivergedError(position, 0, f"the copy was made of log {copied_log}")
        self._tables = json.loads(tables)
        return Cursor(copied_log, position, bytes(digest))

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits, and store the cursor, in one transaction."""
        with self._transaction() as raw:
            replay = self.replay_type(raw)
            replay.occupied = frozenset()
            replay.tables = self._tables
            try:
                replay.apply(events)
                replay.finish()
            except ReplayError as error:
                raise ProjectionError(self.name, error.position, error.reason) from error
            state = cursor.log_id, cursor.position, cursor.hash, json.dumps(replay.tables)
            raw.execute(self.store_state, state)
        self._tables = replay.tables

    def begin_rebuild(self) -> None:
        """Drop the copy's tables in a transaction, which readers see when it is finished."""
        raw = self._connection
        with self._translated():
            if self._rebuilding:
                raw.execute("ROLLBACK")
                self._tables = self._tables_before
            raw.execute(self.begin)
            self._rebuilding, self._tables_before = True, self._tables
            self.schema_type(raw).drop_tables(self._tables)
            raw.execute(f"DELETE FROM {STATE}")
        self._tables = []

    def finish_rebuild(self) -> None:
        """Commit the rebuilt tables."""
        with self._translated():
            self._connection.execute("COMMIT")
        self._rebuilding = False

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        raw = self._connection
        with self._translated():
            if self._rebuilding:
                yield raw
                return
            raw.execute(self.begin)
            try:
                yield raw
                raw.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def close(self) -> None:
        """Release the copy. An unfinished rebuild is rolled back."""
        raw, self._raw, self._rebuilding = self._raw, None, False
        self._disconnect(raw)
