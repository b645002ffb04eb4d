"""A connection for callers on PostgreSQL, with the API that they know from SQLite."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg

from projections.sql.connection import Publisher, SqlConnection
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._cursor import PostgresCursor
from projections.sql.postgres._lexer import first_words
from projections.sql.postgres._row_counts import count_changes
from projections.sql.postgres._rows import to_sqlite_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from eventstore.storage.postgres.user_transaction import PostgresUserTransaction
    from eventstore.storage.user_transaction import UserTransaction

log = logging.getLogger(__name__)

_SAVEPOINT: Final = "sql_capture_statement"
_TRANSACTION: Final = {"begin", "start", "commit", "end", "rollback", "abort"}
_SAVEPOINTS: Final = {"savepoint", "release"}
_STATEMENTS: Final = {
    "select", "insert", "update", "delete", "merge", "with", "values", "table", "explain",
    "show", "lock", "analyze", *_SAVEPOINTS,
}  # fmt: skip
_READS: Final = {"select", "values", "table", "show"}
_SQLITE_ONLY: Final = {"pragma", "replace", "attach", "detach", "vacuum", "reindex"}


class ChangeRecorder(Publisher, Protocol):
    """Appends the changes of a connection's transactions to the log."""

    settings: str
    """The statements that each transaction begins with."""

    def record(self, transaction: UserTransaction, counts: Mapping[str, int] | None) -> Any:
        """Append what the transaction did; ``counts`` are of its changed rows at its beginning."""


class PostgresConnection(SqlConnection):
    """See :class:`SqlConnection`.

    Statements are PostgreSQL's, with ``?`` for parameters. A statement that fails leaves the
    effects of the others in its transaction, as on SQLite.
    """

    def __init__(self, transaction: PostgresUserTransaction, recorder: ChangeRecorder) -> None:
        super().__init__(transaction, recorder)
        self._transaction: PostgresUserTransaction = transaction
        self._recorder = recorder
        self._counts: Mapping[str, int] | None = None
        self._has_savepoint = False
        self._has_temporary_tables = False

    @property
    def in_transaction(self) -> bool:
        """True between the start of a transaction and its commit or rollback."""
        return self._transaction.active

    def cursor(self) -> PostgresCursor:
        """Return a cursor."""
        self._check_open()
        return PostgresCursor(self)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        self._has_savepoint = False  # The commit releases it.
        try:
            yield
        except psycopg.Error as error:
            raise to_sqlite_error(error) from error

    def _record(self) -> Any:
        return self._recorder.record(self._transaction, self._counts)

    def _roll_back(self) -> None:
        self._has_savepoint = False
        self._transaction.rollback()

    def _release(self) -> None:
        if self._has_temporary_tables:
            self._transaction.raw.close()  # The pool's next user would find them.
        self._transaction.close()

    def run(self, sql: str, call: Callable[[Any], Any]) -> Any:
        """Run a caller's statement, in a transaction if it writes.

        Returns the result of ``call(driver's connection)``, ``None`` for a BEGIN or COMMIT.
        """
        self._check_open()
        first = first_words(sql) or [""]
        action = self._check_statement(sql, first)
        if action is not None:
            action()
            return None
        if not self.in_transaction and first[0] in _READS:
            try:
                return call(self._transaction.raw)
            except psycopg.errors.ReadOnlySqlTransaction:
                # A function that writes, a row lock or a sequence: it needs a transaction.
                log.debug("%.80s writes", sql)
            except psycopg.Error as error:
                raise to_sqlite_error(error) from error
        try:
            self._prepare(first)
            return call(self._transaction.raw)
        except psycopg.Error as error:
            self._undo_statement()
            raise to_sqlite_error(error) from error

    def _prepare(self, first: list[str]) -> None:
        """Begin a transaction if there is none, and set a savepoint before the next statement."""
        if not self.in_transaction:
            self._begin()
        if self._counts is None and first[0] not in {*_READS, *_SAVEPOINTS, "rollback"}:
            self._counts = count_changes(self._transaction.raw)
        if first[0] == "create":
            self._has_temporary_tables = True
        # On PostgreSQL an error ends the transaction unless there is a savepoint.
        needed = first[0] not in {*_SAVEPOINTS, "rollback"}
        steps = [f"RELEASE {_SAVEPOINT}"] * self._has_savepoint + [
            f"SAVEPOINT {_SAVEPOINT}"
        ] * needed
        if steps:
            self._transaction.raw.execute("; ".join(steps))
        self._has_savepoint = needed

    def _undo_statement(self) -> None:
        """Roll a failed statement back; where that is not possible, the transaction."""
        raw = self._transaction.raw
        try:
            if self._has_savepoint:
                raw.execute(f"ROLLBACK TO {_SAVEPOINT}; RELEASE {_SAVEPOINT}")
                self._has_savepoint = False
            elif (
                self._transaction.raw.info.transaction_status
                == psycopg.pq.TransactionStatus.INERROR
            ):
                self._transaction.rollback()
        except psycopg.Error:
            self._has_savepoint = False
            self._transaction.rollback()

    def _check_statement(self, sql: str, first: list[str]) -> Callable[[], None] | None:
        """Return the action of a statement that begins or ends a transaction, else ``None``.

        Raises SqlRefusedError for statements whose effects would not be recorded.
        """
        word = first[0] if first else ""
        if word in _SQLITE_ONLY or first[:2] in (["insert", "or"], ["update", "or"]):
            words = " ".join(first[:2] if first[1:2] == ["or"] else first[:1]).upper()
            raise SqlRefusedError(sql, f"{words} is SQLite's own: write what PostgreSQL has for it")
        if word in _TRANSACTION and first[1:2] != ["to"]:
            return self._transaction_action(word, sql)
        temporary = word == "create" and first[1:2] in (["temp"], ["temporary"])
        if word in _STATEMENTS or word in _TRANSACTION or temporary or not word:
            return None
        raise SqlRefusedError(
            sql,
            f"{word.upper()} is not recorded: the schema is changed by migrations only "
            "(apply_migrations), rows by INSERT, UPDATE and DELETE",
        )

    def _transaction_action(self, word: str, sql: str) -> Callable[[], None]:
        if word in {"begin", "start"}:
            if self.in_transaction:
                raise sqlite3.OperationalError("cannot start a transaction within a transaction")
            return self._begin
        if not self.in_transaction:
            raise sqlite3.OperationalError(f"cannot {word} - no transaction is active ({sql:.20})")
        return self.commit if word in {"commit", "end"} else self.rollback

    def _begin(self) -> None:
        self._counts, self._has_savepoint = None, False
        self._transaction.begin(self._recorder.settings)
