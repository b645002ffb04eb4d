"""Old versions of the head row on PostgreSQL, which no vacuum removes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

_PILE = """
DO $$ DECLARE place tid; BEGIN
    SELECT ctid INTO place FROM head;
    FOR version IN 1..{} LOOP
        UPDATE head SET recorded_us = recorded_us WHERE ctid = place RETURNING ctid INTO place;
        COMMIT;
    END LOOP;
END $$
"""


@contextmanager
def old_transaction(url: str, *, versions: int = 0) -> Iterator[None]:
    """Keep a snapshot open, as a forgotten session does, and write the row so often first."""
    with psycopg.connect(url, application_name="stranger") as session:
        session.execute("SET idle_in_transaction_session_timeout = 0")
        session.commit()
        session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SELECT 1 FROM head")
        if versions:
            with psycopg.connect(url, autocommit=True) as writer:
                writer.execute(_PILE.format(versions).encode())
        yield
        session.rollback()


def head_pages(url: str) -> int:
    """Return how many pages the table has."""
    with psycopg.connect(url) as session:
        row = session.execute("SELECT pg_relation_size('head') / 8192").fetchone()
    assert row is not None
    return int(row[0])
