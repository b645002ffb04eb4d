"""Pages that PostgreSQL answers in one exchange are those that it answers in several."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from support.logs import positions, some
from support.spies import note_calls
from support.waiting import take

from eventstore import EventStore, HistoryDivergedError, StreamWrite
from eventstore.log.clock import system_clock
from eventstore.log.events import Cursor
from eventstore.log.operations import Query
from eventstore.log.validation import check_append
from eventstore.storage.base import SqlBackend
from eventstore.storage.postgres import _short_read
from eventstore.storage.postgres._short_read import may_be_short
from eventstore.storage.postgres.backend import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres import Server

COMMITS: Final = (1, 3, 1, 2)
"""Events of each commit."""


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


@pytest.fixture
def backend(url: str) -> Iterator[PostgresBackend]:
    """Give an open log of a few commits."""
    backend = PostgresBackend(url, system_clock)
    backend.open()
    for count in COMMITS:
        backend.write([check_append([StreamWrite("a/1", some(count))])])
    yield backend
    backend.close()


@pytest.fixture
def long_way(monkeypatch: pytest.MonkeyPatch) -> list[Query]:
    """List the queries that take several exchanges."""
    return note_calls(monkeypatch, SqlBackend, "page", lambda _, query: query)


def queries_after(backend: PostgresBackend, **more: Any) -> list[Query]:
    """Return a query after each event of the log, known by its hash, of each size and end."""
    cursors = [
        Cursor(backend.head().log_id, e.position, e.hash) for e in backend.page(Query()).events
    ]
    sizes = product(cursors, [1, 2, 3, 100], [None, 3, 5, 100])
    return [
        Query(after=cursor.position, expect=cursor, limit=limit, until=until, **more)
        for cursor, limit, until in sizes
        if until is None or until > cursor.position
    ]


@pytest.mark.parametrize("whole_commits", [True, False])
def test_a_page_in_one_exchange_is_the_page_in_several(
    backend: PostgresBackend, long_way: list[Query], whole_commits: bool
) -> None:
    queries = queries_after(backend, whole_commits=whole_commits)
    long_way.clear()
    short = [backend.page(query) for query in queries]
    taken = len(queries) - len(long_way)
    assert taken > len(queries) // 2
    assert short == [SqlBackend.page(backend, query) for query in queries]


def test_a_page_that_holds_too_much_is_read_in_parts(
    backend: PostgresBackend, long_way: list[Query], monkeypatch: pytest.MonkeyPatch
) -> None:
    query = queries_after(backend)[-1]
    backend.write([check_append([StreamWrite("a/1", some(3))])])
    long_way.clear()
    whole = backend.page(query)
    assert not long_way
    monkeypatch.setattr(_short_read, "PAGE_BYTES", 1)
    assert backend.page(query) == whole
    assert long_way == [query]


def test_consumers_that_have_a_new_owner_are_named(backend: PostgresBackend) -> None:
    head = backend.head()
    with_names = {"after": head.position, "expect": head.cursor, "consumers": (("w", 3), ("x", 1))}
    query = Query(**with_names)  # type: ignore[arg-type]
    assert may_be_short(query)
    assert set(backend.page(query).lost) == {("w", 3), ("x", 1)}


@pytest.mark.parametrize("beyond", [True, False])
def test_a_cursor_that_the_log_does_not_hold_is_refused(
    backend: PostgresBackend, beyond: bool
) -> None:
    head = backend.head()
    position = head.position + beyond
    wrong = Cursor(head.log_id, position, b"\0" * 32)
    with pytest.raises(HistoryDivergedError):
        backend.page(Query(after=position, expect=wrong))


@pytest.mark.anyio
async def test_followers_and_readers_go_on_by_one_exchange_a_page(
    url: str, long_way: list[Query]
) -> None:
    async with EventStore.open(url) as store, EventStore.open(url) as other:
        await store.append("a/1", some(1))
        subscription = store.subscribe_changes(consumer="w")
        await take(subscription, 1)
        async with anyio.create_task_group() as tasks:
            got: list[int] = []

            async def follow() -> None:
                got.extend(positions(await take(subscription, 5)))

            tasks.start_soon(follow)
            before = len(long_way)
            for _ in range(5):
                await other.append("a/1", some(1))
        assert got == [2, 3, 4, 5, 6]
        assert not [query for query in long_way[before:] if query.expect is not None]
