"""How the log's PostgreSQL is connected to, what its errors mean, how a transaction is ended."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from eventstore.errors import StorageError
from eventstore.storage.postgres._replaced_tables import ReplacedError
from eventstore.storage.postgres.connection import (
    connect,
    connection_info,
    has_outdated_plan,
    is_lost,
    is_timeout,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from eventstore.storage.postgres.watchdog import Watchdog
    from eventstore.system.secret_url import SecretUrl

log = logging.getLogger(__name__)

READ_CONNECTIONS: Final = 8
"""Connections for reading, one for each page that a store reads at once: none waits for one."""

IDLE_CONNECTIONS: Final = 2
"""How many of them stay open."""

LOCK_SCHEMA: Final = (
    # The server's functions by their full names: one of the log's schema with the very types of
    # the arguments would be called instead.
    "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext("
    "pg_catalog.concat('eventstore ', pg_catalog.current_schema()))::pg_catalog.int8)"
)
"""Keeps others from changing the schema, until the transaction ends."""


@contextmanager
def translate_errors(where: str) -> Iterator[None]:
    """Turn every error of psycopg and SQLAlchemy into StorageError, saying where."""
    try:
        yield
    except (psycopg.Error, SQLAlchemyError, OSError, LookupError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if has_outdated_plan(cause):
            raise ReplacedError(where) from error
        reason = " ".join(str(cause).split()) or type(cause).__name__
        raise StorageError(
            where,
            _explain(cause, reason),
            transient=is_lost(cause),
            timed_out=is_timeout(cause),
        ) from error


def _explain(error: BaseException | None, reason: str) -> str:
    if isinstance(error, psycopg.errors.InvalidSchemaName):
        return f"{reason}: create the schema that the URL's search_path names"
    if isinstance(error, psycopg.errors.UndefinedColumn):
        return f"{reason}: its tables are not an event log's; name another schema or database"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"{reason}: use a role that may, or grant this one what it needs"
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return f"{reason}: another session holds the log (pg_stat_activity shows which); try again"
    return reason


def make_engine(url: str | SecretUrl, watchdog: Watchdog, **pooling: Any) -> Engine:
    """Make an engine that leaves BEGIN and COMMIT to its users."""
    info = connection_info(url)
    kept = {"pool_size": IDLE_CONNECTIONS + 1, "max_overflow": READ_CONNECTIONS - IDLE_CONNECTIONS}
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(info, watchdog),
        isolation_level="AUTOCOMMIT",
        **kept | pooling,
    )


def roll_back(connection: Connection, raw: Any, error: BaseException) -> None:
    """End the transaction, or the connection where that is not possible any more."""
    if raw.closed or is_lost(error):
        return
    if has_outdated_plan(error):
        raw.close()
        return
    try:
        raw.rollback()
        connection.rollback()
    except (psycopg.Error, SQLAlchemyError):
        log.debug("the connection cannot roll back; it is dropped", exc_info=True)
        raw.close()
