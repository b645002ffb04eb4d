"""The head row on PostgreSQL, while an old transaction keeps all of its versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import anyio
import psycopg
import pytest
from support.audit import audit_postgres
from support.logs import some
from support.old_transaction import head_pages, old_transaction
from support.waiting import eventually

from eventstore import EventStore
from eventstore.storage.postgres import _head
from eventstore.storage.postgres._head import PAGES, page_of, select_head, update_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.postgres import Server

pytestmark = pytest.mark.anyio

VERSIONS: Final = 4_000
"""Of the head row, which then fill about 70 pages."""
APPENDS: Final = 50
PASSES_TO_OPEN: Final = 25
"""Reads of the whole table by the sessions of a store, which do not know its size yet: at most."""
APPENDER: Final = "appender"


@pytest.fixture
async def piled(postgres: Server) -> AsyncIterator[str]:
    """Make a log whose head row has many old versions that no vacuum removes."""
    url = postgres.fresh_schema()
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
    with old_transaction(url, versions=VERSIONS):
        yield url


async def count_pages_read(postgres: Server, url: str) -> int:
    """Return how many pages of the head's table all sessions looked at that have ended."""

    async def ended() -> bool:
        statement = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
        return not postgres.execute(statement, APPENDER)

    await eventually(ended)
    statement = (
        "SELECT heap_blks_hit + heap_blks_read FROM pg_statio_user_tables "
        "WHERE schemaname = %s AND relname = 'head'"
    )
    ((found,),) = postgres.execute(statement, url.rpartition("%3D")[2])
    return int(found)


async def test_appends_beside_an_old_transaction_read_the_heads_table_once_not_three_times(
    postgres: Server, piled: str
) -> None:
    before = await count_pages_read(postgres, piled)
    async with EventStore.open(f"{piled}&application_name={APPENDER}", notify="none") as store:
        for _ in range(APPENDS):
            await store.append("a/1", some(1))
    passes = (await count_pages_read(postgres, piled) - before) / head_pages(piled)
    # The trigger of the table `event` reads all of it; no statement of the writer does.
    assert APPENDS <= passes < APPENDS + PASSES_TO_OPEN


def read_by(plan: str) -> int:
    """Return how many pages a statement looked at, those of indexes included."""
    found = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
    assert found is not None
    return sum(int(count or 0) for count in found.groups())


@pytest.mark.parametrize("before", ["SELECT 1", "VACUUM head", "ANALYZE head"])
async def test_the_head_row_is_found_at_once_by_whatever_the_server_knows_of_its_table(
    piled: str, before: str
) -> None:
    statements = [
        select_head("position", PAGES, lock=False),
        select_head("position", PAGES, lock=True),
        update_head("UPDATE head SET position = position", PAGES),
    ]
    assert head_pages(piled) > 50
    # One version in about 57 begins a page, and its entry in the index is compared with all others.
    with psycopg.connect(piled, autocommit=True) as session:
        session.execute(before.encode())
        for statement in statements:
            assert min(read_by(explain(session, statement)) for _ in range(3)) < 10


def explain(session: psycopg.Connection[tuple[str]], statement: str) -> str:
    """Run a statement, and roll it back; return what the server says that it did."""
    with session.transaction(force_rollback=True):
        lines = session.execute(b"EXPLAIN (ANALYZE, BUFFERS) " + statement.encode())
        return "\n".join(line for (line,) in lines)


async def test_writers_that_ask_the_index_for_the_head_leave_one_gapless_log(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_head, "PAGES", 0)
    url = postgres.fresh_schema()
    async with (
        EventStore.open(url, notify="none") as one,
        EventStore.open(url, notify="none") as two,
    ):
        with old_transaction(url):
            for store in (one, two) * 20:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(one.append, "a/1", some(1))
                    tasks.start_soon(two.append, "a/1", some(1))
                    tasks.start_soon(store.append, "a/2", some(1))
    assert audit_postgres(url) == 120


async def test_status_names_an_old_transaction_only_and_only_where_it_keeps_versions_of_the_head(
    postgres: Server,
) -> None:
    url = postgres.fresh_schema()
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
        assert "old_transaction" not in await store.status()
        with old_transaction(url, versions=VERSIONS):
            assert "program 'stranger'" in (await store.status())["old_transaction"]
        with old_transaction(url):
            assert "old_transaction" not in await store.status()


async def test_the_page_of_a_row_is_read_from_its_place(postgres: Server) -> None:
    with psycopg.connect(postgres.url()) as session:
        row = session.execute("SELECT '(70000,7)'::tid", binary=True).fetchone()
    assert row is not None
    assert page_of(row[0]) == 70_000
