"""A query on an inline projection's tables together with head and checkpoint: one statement.

A statement is a snapshot of its own. Without ``BEGIN`` and ``COMMIT`` around it, and two statements
beside it, its exchange takes two thirds of the time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from eventstore.log.events import Cursor
from eventstore.storage.driver import ViewRows
from eventstore.storage.postgres._head import page_of, select_head

if TYPE_CHECKING:
    from eventstore.storage.driver import Query
    from eventstore.storage.postgres._driver import PostgresDriver


def may_be_alone(query: Query) -> bool:
    """Return whether a query gives rows in no order: a join could change one."""
    return "ORDER BY" not in query[0]


def look_alone(driver: PostgresDriver, view: str, query: Query) -> ViewRows:
    """Return the rows of a query beside head and checkpoint."""
    sql, values = query
    head = select_head("log_id, position, hash", driver.session.head_page, lock=False)
    found = driver.rows(_joined(head, sql), [view, *values])
    if not found:
        raise LookupError("the head row is missing")
    log_id, position, digest, place, version, at, there, *_ = found[0]
    driver.session.head_page = page_of(place)
    rows = [row[_BESIDE:] for row in found] if there else []
    return ViewRows(Cursor(log_id, position, digest), version, at or 0, [rows])


_BESIDE: Final = 7
"""Columns of the head, of the checkpoint, and whether there is a row."""

_KNOWN: Final = 1_024
"""Statements that are remembered."""


@lru_cache(_KNOWN)
def _joined(head: str, sql: str) -> str:
    return (
        f"SELECT h.*, p.version, p.position, q.* FROM ({head}) h "  # noqa: S608 - our own
        "LEFT JOIN projection p ON p.name = ? "
        f"LEFT JOIN (SELECT true AS there, r.* FROM ({sql}) r) q ON true"
    )
