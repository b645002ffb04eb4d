"""A query on an inline projection's tables, with the head and the checkpoint in its own rows.

A statement is a snapshot of its own. Without ``BEGIN`` and ``COMMIT`` around it, and a statement
or two beside it, an exchange with a server takes two thirds of the time, and SQLite two thirds too.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.log.events import Cursor
from eventstore.storage.driver import ViewRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.storage.driver import Query

HEAD: Final = "log_id, position, hash"
"""The head's columns; where a database knows one, the row's place comes after them."""

_NOTHING: Final[Query] = ("SELECT 1 WHERE false", ())

_BESIDE: Final = 7
"""Columns of the head and its place, of the checkpoint, and whether there is a row."""

_KNOWN: Final = 1_024
"""Statements that are remembered."""


class Beside(NamedTuple):
    """What was read: the head with its place, the projection's checkpoint, and the rows."""

    head: Cursor
    place: Any
    version: int | None
    position: int
    rows: list[tuple[Any, ...]]


def may_be_beside(query: Query) -> bool:
    """Return whether a query gives rows in no order: a join could change one."""
    return "ORDER BY" not in query[0]


def ask_beside(head: str, view: str, query: Query) -> Query:
    """Return a query that gives the rows of another beside head and checkpoint.

    ``head`` selects the columns of ``HEAD`` and one of the row's place.
    """
    sql, values = query
    return _joined(head, sql), [view, *values]


@lru_cache(_KNOWN)
def _joined(head: str, sql: str) -> str:
    return (
        f"SELECT h.*, p.version, p.position, q.* FROM ({head}) h "  # noqa: S608 - our own
        "LEFT JOIN projection p ON p.name = ? "
        f"LEFT JOIN (SELECT 1 AS there, r.* FROM ({sql}) r) q ON 1 = 1"
    )


def ask_view(head: str, view: str, queries: Sequence[Query]) -> list[Query]:
    """Return the statements of one snapshot; the first has head and checkpoint.

    It also has the rows of the first query, where they have no order.
    """
    if queries and may_be_beside(queries[0]):
        return [ask_beside(head, view, queries[0]), *queries[1:]]
    return [ask_beside(head, view, _NOTHING), *queries]


def rows_of(
    beside: Beside, queries: Sequence[Query], others: Sequence[list[tuple[Any, ...]]]
) -> ViewRows:
    """Return the rows of each query, given those of the other statements of :func:`ask_view`."""
    rows = [*others] if len(others) == len(queries) else [beside.rows, *others]
    return ViewRows(beside.head, beside.version, beside.position, rows)


def read_beside(found: Sequence[tuple[Any, ...]]) -> Beside:
    """Return what the rows of :func:`ask_beside` hold. Raises LookupError without a head."""
    if not found:
        raise LookupError("the head row is missing")
    log_id, position, digest, place, version, at, there, *_ = found[0]
    rows = [row[_BESIDE:] for row in found] if there else []
    return Beside(Cursor(log_id, position, digest), place, version, at or 0, rows)
