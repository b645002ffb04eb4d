"""A connection for callers on PostgreSQL, with the API that they know from SQLite."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg

from projections.sql._identifiers import CAPTURE
from projections.sql.connection import Publisher, SqlConnection
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._cursor import PostgresCursor
from projections.sql.postgres._guard import (
    DefinitionRefusedError,
    Made,
    Names,
    Verdict,
    judge,
)
from projections.sql.postgres._lexer import first_words
from projections.sql.postgres._row_counts import (
    COUNTED_AT_BEGIN,
    Counts,
    count_changes,
    only_catalog,
    read_counts,
)
from projections.sql.postgres._rows import to_sqlite_error, translated_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventstore.storage.postgres.user_transaction import PostgresUserTransaction
    from eventstore.storage.user_transaction import UserTransaction

log = logging.getLogger(__name__)

_SAVEPOINT: Final = f"{CAPTURE}_statement"
_EXISTS: Final = (
    "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = coalesce(%s, current_schema()) AND c.relname = %s"
)
_SQLITE_ONLY: Final = {"pragma", "replace", "attach", "detach", "vacuum", "reindex"}


class ChangeRecorder(Publisher, Protocol):
    """Appends the changes of a connection's transactions to the log."""

    settings: str
    """What each transaction selects at its beginning."""
    own: Names
    """Reserved names that the program's tables have since before they were reserved."""

    def learn_names(self, transaction: UserTransaction) -> bool:
        """Look again which names are the program's; return True if there are more."""

    def record(self, transaction: PostgresUserTransaction, counts: Counts) -> Any:
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
        self._counts: Counts = {}
        self._has_savepoint = False
        self._has_temporary_tables = False

    @property
    def in_transaction(self) -> bool:
        """True between the start of a transaction and its commit or rollback."""
        return self._transaction.active

    def cursor(self) -> PostgresCursor:
        """Return a cursor."""
        self.check_usable()
        return PostgresCursor(self)

    @contextmanager
    def _ending(self) -> Iterator[None]:
        self._has_savepoint = False  # The commit releases it.
        with translated_errors():
            yield

    def _record(self) -> Any:
        return self._recorder.record(self._transaction, self._counts)

    def _roll_back(self) -> None:
        self._has_savepoint = False
        self._transaction.rollback()

    def _release(self) -> None:
        if self._has_temporary_tables:
            self._transaction.raw.close()  # The pool's next user would find them.
        self._transaction.close()

    def run(self, sql: str, query: str, call: Callable[[Any], Any]) -> Any:
        """Run a caller's statement, in a transaction if it writes.

        ``query`` is what is sent, with numbered parameters. Returns the result of
        ``call(driver's connection)``, ``None`` for a BEGIN or COMMIT. Raises SqlRefusedError for
        statements whose effects would not be recorded.
        """
        self.check_usable()
        try:
            verdict = self._judge(sql, query)
        except DefinitionRefusedError as refused:
            if self._exists(refused.made):
                return None
            raise
        if verdict.kind in {"begin", "commit", "rollback"}:
            self._control_transaction(verdict, sql)
            return None
        if not self.in_transaction and verdict.kind in {"read", "empty"}:
            try:
                return call(self._transaction.raw)
            except psycopg.errors.ReadOnlySqlTransaction:
                # A function that writes, a row lock or a sequence: it needs a transaction.
                log.debug("%.80s writes", sql)
            except psycopg.Error as error:
                raise to_sqlite_error(error) from error
        try:
            return self._run_in_transaction(verdict, call)
        except psycopg.Error as error:
            self._undo_statement()
            raise to_sqlite_error(error) from error
        finally:
            if verdict.kind == "temporary" and self.in_transaction:
                # Of the catalog it has changed what a caller may change.
                changed = only_catalog(count_changes(self._transaction.raw))
                self._counts = {**self._counts, **changed}

    def _judge(self, sql: str, query: str) -> Verdict:
        first = first_words(sql)
        if first[:1] and (
            first[0] in _SQLITE_ONLY or first[:2] in (("insert", "or"), ("update", "or"))
        ):
            words = " ".join(first[:2] if first[1:2] == ("or",) else first[:1]).upper()
            raise SqlRefusedError(sql, f"{words} is SQLite's own: write what PostgreSQL has for it")
        try:
            return judge(query, self._recorder.own)
        except SqlRefusedError:
            if not self._recorder.learn_names(self._transaction):
                raise
            return judge(query, self._recorder.own)

    def _exists(self, made: Made) -> bool:
        with translated_errors():
            found = self._transaction.raw.execute(_EXISTS, (made.schema or None, made.name))
            return found.fetchone() is not None

    def _run_in_transaction(self, verdict: Verdict, call: Callable[[Any], Any]) -> Any:
        """Run a statement in a transaction, which it begins, or else behind a savepoint."""
        self._has_temporary_tables |= verdict.kind == "temporary"
        # On PostgreSQL an error ends the transaction unless there is a savepoint.
        needed = verdict.kind != "savepoint"
        if not self.in_transaction:
            return self._begin(call)
        steps = [f"RELEASE {_SAVEPOINT}"] * self._has_savepoint + [
            f"SAVEPOINT {_SAVEPOINT}"
        ] * needed
        if steps:
            self._transaction.raw.execute("; ".join(steps))
        self._has_savepoint = needed
        return call(self._transaction.raw)

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

    def _control_transaction(self, verdict: Verdict, sql: str) -> None:
        if verdict.kind == "begin":
            if self.in_transaction:
                raise sqlite3.OperationalError("cannot start a transaction within a transaction")
            self._begin()
            return
        if not self.in_transaction:
            raise sqlite3.OperationalError(
                f"cannot {verdict.kind} - no transaction is active ({sql:.20})"
            )
        (self.commit if verdict.kind == "commit" else self.rollback)()

    def _begin(self, call: Callable[[Any], Any] = lambda _: None) -> Any:
        """Begin, and run a statement, in one exchange; if that fails, begin anew without it."""
        self._counts, self._has_savepoint = {}, False
        # Counted also before a query: it may call a function that writes.
        start = f"SELECT {COUNTED_AT_BEGIN}, {self._recorder.settings}"
        (counts, *_), done = self._transaction.begin_with(start, call)
        self._counts = read_counts(counts)
        if isinstance(done, Exception):
            if self.in_transaction:  # It is not where the connection was lost.
                self._transaction.rollback()
                self._begin()
            raise done
        return done
