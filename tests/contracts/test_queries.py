"""A query has a time limit and threads of its own; it delays neither appends nor followers."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import text
from support.logs import some
from support.waiting import eventually

from eventstore import EventStore
from eventstore.errors import InvalidInputError, QueryTimeoutError, StorageError, StoreClosedError
from eventstore.limits import QUERY_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.anyio, pytest.mark.promise("owners")]

ENDLESS = (
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 1000 FROM n) "
    "SELECT count(*) FROM n"
)


def endless(url: str) -> str:
    """Return a statement that does not end by itself."""
    return "SELECT pg_sleep(3600)" if url.startswith("postgresql") else ENDLESS


def asks(url: str, begun: threading.Event | None = None) -> Callable[[Any, Any], Any]:
    """Return a query whose statement does not end by itself."""

    def ask(connection: Any, _: Any) -> Any:
        if begun is not None:
            begun.set()
        return connection.execute(text(endless(url))).all()

    return ask


async def goes_on(store: EventStore) -> None:
    """Check that the connection of a query that was ended is as it was."""
    position = (await store.append("a/1", some(1))).position
    for _ in range(QUERY_THREADS + 1):
        assert await store.query(lambda c, head: (c.execute(text("SELECT 1")).scalar(), head)) == (
            1,
            await store.head(),
        )
    assert (await store.head()).position == position


async def test_a_statement_is_ended_after_the_timeout(store: EventStore, url: str) -> None:
    with pytest.raises(QueryTimeoutError, match=r"longer than 0\.05 s") as caught:
        await store.query(asks(url), timeout=0.05)
    assert (caught.value.seconds, caught.value.timed_out) == (0.05, True)
    assert caught.value.where == store.url
    await goes_on(store)


async def test_many_short_statements_are_ended_too(store: EventStore) -> None:
    def ask(connection: Any, _: Any) -> None:
        for number in count():
            connection.execute(text(f"SELECT {number}")).all()

    with pytest.raises(QueryTimeoutError):
        await store.query(ask, timeout=0.05)
    await goes_on(store)


async def test_an_ended_statement_is_not_hidden_by_its_function(
    store: EventStore, url: str
) -> None:
    def ask(connection: Any, head: Any) -> str:
        try:
            asks(url)(connection, head)
        except Exception:
            return "all is well"
        return ""

    with pytest.raises(QueryTimeoutError):
        await store.query(ask, timeout=0.05)
    await goes_on(store)


WRITES = (
    "UPDATE head SET position = 99",
    "CREATE TABLE mine (x integer)",
    "CREATE TEMP TABLE event (x integer)",
)


@pytest.mark.any_past
@pytest.mark.parametrize("statement", WRITES)
async def test_a_query_writes_nothing(store: EventStore, statement: str) -> None:
    await store.append("a/1", some(1))

    def write(connection: Any, _: Any) -> None:
        connection.execute(text(statement))
        connection.commit()

    with pytest.raises(StorageError, match=r"read-?only"):
        await store.query(write)
    await goes_on(store)
    assert (await store.verify()).ok


@pytest.mark.any_past
async def test_what_a_query_sets_does_not_reach_the_next_one(store: EventStore, url: str) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("settings of a session are PostgreSQL's")
    ask = text("SELECT current_setting('search_path'), current_setting('timezone')")
    before = await store.query(partial(_one, ask))
    for setting in ("search_path", "timezone"):
        change = text(f"SELECT set_config('{setting}', 'PST8PDT', false)")
        await store.query(partial(_one, change))
    for _ in range(QUERY_THREADS + 1):
        assert await store.query(partial(_one, ask)) == before


def _one(statement: Any, connection: Any, _head: Any) -> Any:
    return connection.execute(statement).one()


@pytest.mark.any_past
async def test_an_async_function_is_refused(store: EventStore) -> None:
    async def ask(_connection: Any, _head: Any) -> int:
        return 1

    with pytest.raises(InvalidInputError, match="is async"):
        await store.query(ask)  # type: ignore[unused-coroutine]


async def test_an_error_of_the_function_is_raised_as_it_is(store: EventStore) -> None:
    def ask(*_: Any) -> None:
        raise TimeoutError("mine")

    with pytest.raises(Exception, match="mine") as caught:
        await store.query(ask)
    assert not isinstance(caught.value, QueryTimeoutError)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
@pytest.mark.any_past
async def test_a_timeout_is_a_finite_number_above_zero(store: EventStore, timeout: float) -> None:
    with pytest.raises(InvalidInputError, match="timeout"):
        await store.query(lambda *_: None, timeout=timeout)


async def test_a_cancelled_caller_ends_the_statement(
    store: EventStore, url: str, runner: str
) -> None:
    if runner == "threads":
        pytest.skip("a blocking call is not cancelled")
    begun = threading.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.query, asks(url, begun))
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
    await goes_on(store)


async def test_a_caller_that_is_cancelled_between_statements_leaves_the_log(
    store: EventStore, runner: str, start: int
) -> None:
    if runner == "threads":
        pytest.skip("a blocking call is not cancelled")
    await store.append("a/1", some(1))
    begun, cancelled = threading.Event(), threading.Event()

    def ask(connection: Any, _: Any) -> None:
        begun.set()
        cancelled.wait()
        for _ in range(1000):
            connection.execute(text("SELECT 1"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.query, ask)
        await anyio.to_thread.run_sync(begun.wait)
        tasks.cancel_scope.cancel()
        cancelled.set()
    await store.append("a/1", some(1))
    assert (await store.head()).position == start + 2


async def test_a_task_that_asyncio_cancels_ends_the_statement(url: str, runner: str) -> None:
    if runner != "asyncio":
        pytest.skip("asyncio's own way to cancel")
    begun, ended = threading.Event(), threading.Event()

    def ask(connection: Any, head: Any) -> None:
        try:
            asks(url, begun)(connection, head)
        finally:
            ended.set()

    async with EventStore.open(url) as store:
        task = asyncio.ensure_future(store.query(ask))
        await anyio.to_thread.run_sync(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await anyio.to_thread.run_sync(ended.wait)
        await goes_on(store)


async def test_closing_the_store_ends_the_statement(url: str) -> None:
    begun, outcomes = threading.Event(), []

    async def ask(store: EventStore) -> None:
        with pytest.raises(StoreClosedError):
            await store.query(asks(url, begun))
        outcomes.append("closed")

    async with anyio.create_task_group() as tasks, EventStore.open(url) as store:
        tasks.start_soon(ask, store)
        await anyio.to_thread.run_sync(begun.wait)
    assert outcomes == ["closed"]


async def test_a_hundred_slow_queries_delay_no_append_and_no_follower(
    url: str, runner: str
) -> None:
    if url.startswith("memory"):
        pytest.skip("a log in memory has one connection")
    go_on, running, done = threading.Event(), [], []

    def ask(_: Any, head: Any) -> int:
        running.append(threading.get_ident())
        assert go_on.wait(60)
        return int(head.position)

    async def query(store: EventStore) -> None:
        done.append(await store.query(ask, timeout=3600))

    async def all_run() -> bool:
        return len(running) == QUERY_THREADS

    async with EventStore.open(url, poll=3600) as store, anyio.create_task_group() as tasks:
        try:
            for _ in range(100):
                tasks.start_soon(query, store)
            await eventually(all_run)
            async with store.subscribe_changes() as changes:
                for number in range(1, 21):
                    await store.append("a/1", some(1))
                    assert (await anext(changes)).position == number
                assert [event.position async for event in store.read()] == list(range(1, 21))
            # One that finds no free thread ends in time as well.
            with pytest.raises(QueryTimeoutError):
                await store.query(lambda *_: None, timeout=0.05)
            assert len(running) == QUERY_THREADS
        finally:
            go_on.set()
    assert len(done) == 100
