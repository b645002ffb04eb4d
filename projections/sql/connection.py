"""A connection for callers, with the API of the module ``sqlite3``; its transactions are events."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from eventstore.errors import ForkedError
from eventstore.system import fork_hooks
from eventstore.system.owners import keep_for_ever

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from eventstore.storage.user_transaction import UserTransaction
    from projections.sql._cursor import Parameters, SqlCursor


class Publisher(Protocol):
    """Wakes followers of the log."""

    def publish(self, recorded: Any) -> None:
        """Announce what was appended, once it is durable; nothing for ``None``."""


class SqlConnection(ABC):
    """What :meth:`SqlStorage.connection` gives. Used by one thread at a time.

    :class:`~projections.sql.SqlRefusedError` is raised for statements whose effects would not be
    recorded; other errors are those of the module ``sqlite3``, on PostgreSQL too. In a forked child
    each use raises ForkedError, and the transaction stays the parent's.
    """

    def __init__(self, transaction: UserTransaction, publisher: Publisher) -> None:
        self._transaction = transaction
        self._publisher = publisher
        self._closed = False
        self.forked = False
        """True in a forked child of the process that opened it."""
        fork_hooks.track(self)

    @property
    @abstractmethod
    def in_transaction(self) -> bool:
        """True between the start of a transaction and its commit or rollback."""

    @abstractmethod
    def cursor(self) -> SqlCursor:
        """Return a cursor."""

    def execute(self, sql: str, parameters: Parameters = (), /) -> SqlCursor:
        """Execute one statement on a new cursor, and return that."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> SqlCursor:
        """Execute one statement once for each set of parameters."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str, /) -> SqlCursor:
        """Execute several statements; unlike sqlite3 within the transaction, not after it."""
        return self.cursor().executescript(script)

    def commit(self) -> None:
        """Append the transaction's changes and commit; the connection stays usable.

        Does nothing outside a transaction. Where it fails the transaction is rolled back.
        """
        self.check_usable()
        if not self.in_transaction:
            return
        with self._ending():
            try:
                recorded = self._record()
                self._transaction.commit()
            except BaseException:
                self._transaction.rollback()
                raise
        self._publisher.publish(recorded)

    @abstractmethod
    def _ending(self) -> AbstractContextManager[None]:
        """Prepare for statements of the storage's own that end the transaction."""

    @abstractmethod
    def _record(self) -> Any:
        """Append what the transaction did; return what :meth:`Publisher.publish` takes."""

    def rollback(self) -> None:
        """Roll the transaction back; the connection stays usable."""
        self.check_usable()
        self._roll_back()

    @abstractmethod
    def _roll_back(self) -> None: ...

    def finish(self) -> None:
        """Commit, unless the caller has closed the connection already."""
        if not self._closed:
            self.commit()

    def close(self) -> None:
        """Roll back and close. Calling it again does nothing."""
        if not self._closed:
            self.check_process()
            self._closed = True
            fork_hooks.untrack(self)
            self._release()

    @abstractmethod
    def _release(self) -> None:
        """Roll back, and give the database's connection back."""

    def after_fork(self) -> None:
        """Stay open in the child: what is collected there would roll the parent back."""
        self.forked = True
        keep_for_ever(self)

    def check_process(self) -> None:
        """Raise ForkedError in a forked child."""
        if self.forked:
            raise ForkedError("the connection of a SQL storage")

    def check_usable(self) -> None:
        """Raise ForkedError in a forked child, ProgrammingError where it is closed."""
        if self.forked:
            self.check_process()
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")
