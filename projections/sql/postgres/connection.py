"""A connection for callers on PostgreSQL, with the API that they know from SQLite."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import psycopg

from projections.sql.model import SqlRefusedError
from projections.sql.postgres.capture import count_changes
from projections.sql.postgres.lexer import split, to_psycopg, words
from projections.sql.postgres.rows import Row, translated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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


class Recorder(Protocol):
    """Whom a connection tells about its transactions."""

    settings: str
    """What each transaction begins with, in SQL."""

    def record(self, guest: UserTransaction, before: Mapping[str, int] | None) -> Any:
        """Append what the transaction did; ``before`` are the changes counted at its first."""

    def done(self, recorded: Any) -> None:
        """Wake followers, now that it is durable."""


class PostgresConnection:
    """What :meth:`SqlStorage.connection` gives on PostgreSQL. Used by one thread at a time.

    Statements are PostgreSQL's, with ``?`` for parameters; errors are those of the module
    ``sqlite3``, so that callers need not know which database it is. A statement that fails
    leaves the others of its transaction as they are.
    """

    def __init__(self, guest: PostgresUserTransaction, recorder: Recorder) -> None:
        self._guest = guest
        self._recorder = recorder
        self._before: Mapping[str, int] | None = None
        self._shielded = False
        self._temporary = False
        self._closed = False

    @property
    def in_transaction(self) -> bool:
        """Whether something was begun that is neither committed nor rolled back."""
        return self._guest.active

    def cursor(self) -> PostgresCursor:
        """Return a cursor."""
        self._check_open()
        return PostgresCursor(self)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> PostgresCursor:
        """Execute one statement on a new cursor, and return that."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> PostgresCursor:
        """Execute one statement once for each set of parameters."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, script: str, /) -> PostgresCursor:
        """Execute several statements, within the transaction."""
        return self.cursor().executescript(script)

    def commit(self) -> None:
        """Record the transaction and commit it, or roll it back and raise; go on with another."""
        self._check_open()
        if not self.in_transaction:
            return
        self._shielded = False  # The commit releases it.
        try:
            recorded = self._recorder.record(self._guest, self._before)
            self._guest.commit()
        except psycopg.Error as error:
            self._guest.rollback()
            raise translated(error) from error
        except BaseException:
            self._guest.rollback()
            raise
        self._recorder.done(recorded)

    def rollback(self) -> None:
        """Leave nothing of the transaction; go on with another."""
        self._check_open()
        self._shielded = False
        self._guest.rollback()

    def finish(self) -> None:
        """Commit, unless the caller has closed it already."""
        if not self._closed:
            self.commit()

    def close(self) -> None:
        """Roll back and close. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            if self._temporary:
                self._guest.raw.close()
            self._guest.close()

    def _check_open(self) -> None:
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    def run(self, sql: str, call: Callable[[Any], Any]) -> Any:
        """Run a caller's statement by ``call(connection)``, in a transaction if it writes."""
        self._check_open()
        first = words(sql) or [""]
        control = self._judge(sql, first)
        if control is not None:
            control()
            return None
        if not self.in_transaction and first[0] in _READS:
            try:
                return call(self._guest.raw)
            except psycopg.errors.ReadOnlySqlTransaction:
                # A function that writes, a lock on rows, a sequence: in a transaction then.
                log.debug("%.80s writes", sql)
            except psycopg.Error as error:
                raise translated(error) from error
        try:
            self._make_ready(first)
            return call(self._guest.raw)
        except psycopg.Error as error:
            self._undo()
            raise translated(error) from error

    def _make_ready(self, first: list[str]) -> None:
        """See to it that there is a transaction, and that the next statement can be undone."""
        if not self.in_transaction:
            self._begin()
        if self._before is None and first[0] not in {*_READS, *_SAVEPOINTS, "rollback"}:
            self._before = count_changes(self._guest.raw)
        if first[0] == "create":
            # The next one who is given this connection shall not find its tables.
            self._temporary = True
        # What fails ends a transaction on PostgreSQL, and a statement on SQLite.
        shield = first[0] not in {*_SAVEPOINTS, "rollback"}
        steps = [f"RELEASE {_SAVEPOINT}"] * self._shielded + [f"SAVEPOINT {_SAVEPOINT}"] * shield
        if steps:
            self._guest.raw.execute("; ".join(steps))
        self._shielded = shield

    def _undo(self) -> None:
        """Undo a statement that failed; where that is not possible, the transaction."""
        try:
            if self._shielded:
                self._guest.raw.execute(f"ROLLBACK TO {_SAVEPOINT}; RELEASE {_SAVEPOINT}")
                self._shielded = False
            elif self._guest.raw.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
                self._guest.rollback()
        except psycopg.Error:
            self._shielded = False
            self._guest.rollback()

    def _judge(self, sql: str, first: list[str]) -> Callable[[], None] | None:
        """Return what a statement about transactions means; refuse what would escape the log."""
        word = first[0] if first else ""
        if word in _SQLITE_ONLY or first[:2] in (["insert", "or"], ["update", "or"]):
            shown = " ".join(first[:2] if first[1:2] == ["or"] else first[:1]).upper()
            raise SqlRefusedError(sql, f"{shown} is SQLite's own: write what PostgreSQL has for it")
        if word in _TRANSACTION and first[1:2] != ["to"]:
            return self._control(word, sql)
        temporary = word == "create" and first[1:2] in (["temp"], ["temporary"])
        if word in _STATEMENTS or word in _TRANSACTION or temporary or not word:
            return None
        raise SqlRefusedError(
            sql,
            f"{word.upper()} is not recorded: the schema is changed by migrations only "
            "(apply_migrations), rows by INSERT, UPDATE and DELETE",
        )

    def _control(self, word: str, sql: str) -> Callable[[], None]:
        if word in {"begin", "start"}:
            if self.in_transaction:
                raise sqlite3.OperationalError("cannot start a transaction within a transaction")
            return self._begin
        if not self.in_transaction:
            raise sqlite3.OperationalError(f"cannot {word} - no transaction is active ({sql:.20})")
        return self.commit if word in {"commit", "end"} else self.rollback

    def _begin(self) -> None:
        self._before, self._shielded = None, False
        self._guest.begin(self._recorder.settings)


class PostgresCursor:
    """A cursor, as sqlite3 has it; results are read as a whole."""

    arraysize = 1
    lastrowid: None = None
    """PostgreSQL has none: use ``RETURNING``."""

    def __init__(self, connection: PostgresConnection) -> None:
        self.connection = connection
        self.description: Any = None
        self.rowcount = -1
        self._rows: Iterator[Row] = iter(())

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> PostgresCursor:
        """Execute one statement, which may give rows."""
        query, count = to_psycopg(sql)
        _check(count, parameters)
        done = self.connection.run(sql, lambda raw: raw.execute(query, tuple(parameters)))
        self._take(done)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> PostgresCursor:
        """Execute one statement once for each set of parameters."""
        query, count = to_psycopg(sql)
        rows = [tuple(one) for one in parameters]
        for row in rows:
            _check(count, row)

        def call(raw: Any) -> Any:
            cursor = raw.cursor()
            cursor.executemany(query, rows)
            return cursor

        done = self.connection.run(sql, call)
        self._take(None)
        self.rowcount = -1 if done is None else done.rowcount
        return self

    def executescript(self, script: str, /) -> PostgresCursor:
        """Execute several statements, without parameters, within the transaction."""
        for statement in split(script):
            self.execute(statement)
        self._take(None)
        return self

    def _take(self, done: Any) -> None:
        self.description, self.rowcount, self._rows = None, -1, iter(())
        if done is None:
            return
        if done.description is None:
            self.rowcount = done.rowcount
            return
        names = [column.name for column in done.description]
        self.description = [(name, *[None] * 6) for name in names]
        self._rows = (Row(names, values) for values in done.fetchall())

    def __iter__(self) -> PostgresCursor:
        return self

    def __next__(self) -> Row:
        return next(self._rows)

    def fetchone(self) -> Row | None:
        """Return the next row, ``None`` where there is none."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """Return up to ``size`` (default :attr:`arraysize`) rows."""
        count = self.arraysize if size is None else size
        return [row for _, row in zip(range(count), self, strict=False)]

    def fetchall(self) -> list[Row]:
        """Return the rows that are left."""
        return list(self)

    def close(self) -> None:
        """Give no more rows."""
        self._rows = iter(())


def _check(count: int, parameters: object) -> None:
    if isinstance(parameters, Mapping) or not isinstance(parameters, Sequence):
        raise sqlite3.ProgrammingError("give the parameters as a sequence, one for each ?")
    if len(parameters) != count:
        raise sqlite3.ProgrammingError(
            f"Incorrect number of bindings supplied. The current statement uses {count}, "
            f"and there are {len(parameters)} supplied."
        )
