"""Noticing that a projection's tables were replaced while a snapshot of them was read.

PostgreSQL looks up the name of a table at each statement, and not as of the snapshot: rows of a
new version would stand beside the checkpoint of the old one. A query that compares the catalog as
of the snapshot with the catalog of now finds such a table. No table that a statement has used can
be replaced before its transaction ends.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from psycopg.pq import TransactionStatus

from eventstore.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.storage.driver import Driver, Query
    from eventstore.storage.postgres.connection import Session

LEDGER: Final = "projection_tables"
"""The table that names the tables of each projection."""

_REPLACED: Final = (
    f"SELECT t.table_name FROM {LEDGER} t WHERE pg_catalog.to_regclass(pg_catalog.concat("  # noqa: S608
    "?::pg_catalog.text, '.', pg_catalog.quote_ident(t.table_name)))::pg_catalog.oid "
    "IS DISTINCT FROM (SELECT c.oid FROM pg_catalog.pg_class c "
    "WHERE c.relname = t.table_name::pg_catalog.name "
    "AND c.relnamespace = pg_catalog.to_regnamespace(?)::pg_catalog.oid)"
)


class ReplacedError(StorageError):
    """Tables were replaced since they were read: the same query gives one version whole."""

    def __init__(self, where: str) -> None:
        reason = "tables of a projection were replaced while they were read: ask again"
        super().__init__(where, reason, transient=True)


def replaced(session: Session, view: str | None = None) -> Query:
    """Return a query that gives rows where a projection's tables are not those of the snapshot."""
    sql = _REPLACED if view is None else f"{_REPLACED} AND t.projection = ?"
    return sql, [session.schema, session.schema, *([] if view is None else [view])]


@contextmanager
def unreplaced(driver: Driver, where: str) -> Iterator[None]:
    """Raise ReplacedError where a projection's tables were replaced since the block's snapshot.

    Also for what the block raises of its own: it may have come from rows of two versions.
    """
    try:
        yield
    except Exception as error:
        if driver.raw.info.transaction_status == TransactionStatus.INTRANS and _is_replaced(driver):
            raise ReplacedError(where) from error
        raise
    if _is_replaced(driver):
        raise ReplacedError(where)


def _is_replaced(driver: Driver) -> bool:
    session: Session = driver.raw
    session.has_ledger = session.has_ledger or driver.has_table(LEDGER)
    return session.has_ledger and bool(driver.rows(*replaced(session)))
