"""The question for an inline projection's rows, with head and checkpoint, on one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.storage import beside_head
from eventstore.storage.postgres._head import page_of, select_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.storage.driver import Query, ViewRows
    from eventstore.storage.postgres.connection import Session


def ask_view(session: Session, view: str, queries: Sequence[Query]) -> list[Query]:
    """Return the statements of one snapshot; the first has head and checkpoint."""
    head = select_head(beside_head.HEAD, session.head_page, lock=False)
    return beside_head.ask_view(head, view, queries)


def read_view(
    session: Session, queries: Sequence[Query], found: Sequence[list[tuple[Any, ...]]]
) -> ViewRows:
    """Return what the rows of each statement of :func:`ask_view` hold; note the head's place."""
    beside = beside_head.read_beside(found[0])
    session.head_page = page_of(beside.place)
    return beside_head.rows_of(beside, queries, found[1:])
