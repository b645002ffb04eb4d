"""A short read of PostgreSQL is waited for in the event loop, and by a thread where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from support.spies import note_calls
from support.totals import TimesTotals, reader_of
from support.waiting import eventually, until

from eventstore import EventStore, NewEvent, StorageError, StoreClosedError
from eventstore.errors import QueryTimeoutError
from eventstore.storage.postgres._loop_reads import MOST
from eventstore.storage.postgres.backend import PostgresBackend
from projections.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from support.postgres import Server

    from eventstore.storage.driver import ViewRows

pytestmark = [pytest.mark.anyio, pytest.mark.promise("owners")]

BOTH = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])

SLEEP: Any = ("SELECT pg_sleep(?)", [3600])
KEYS: Any = ("SELECT key FROM bot ORDER BY first_position", [])
MINE = (
    "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database() "
    "AND query LIKE '%%{}%%'"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


@pytest.fixture
async def registry(url: str) -> AsyncIterator[Registry]:
    async with Registry(url) as found:
        await found.register("a", {"n": 1})
        await found.register("b", {"n": 2})
        yield found


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """List the looks that a thread has made."""
    return note_calls(monkeypatch, PostgresBackend, "look", lambda *given: given[1:3])


@pytest.fixture
def other(url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, autocommit=True) as found:
        yield found


async def look(registry: Registry, *queries: Any, timeout: float = 30.0) -> ViewRows:
    return await registry.log.queries.look(
        "registry", queries, lambda rows: rows, timeout, brief=True
    )


def asked(other: psycopg.Connection[Any], what: str) -> list[int]:
    """Return the server's processes in which such a statement runs."""
    found = other.execute(f"SELECT pid {MINE.format(what)} AND state = 'active'".encode(), [])
    return [pid for (pid,) in found]


@BOTH
async def test_it_reads_what_a_thread_reads_without_one(
    registry: Registry, in_threads: list[Any]
) -> None:
    alone: Any = ("SELECT key, position FROM bot WHERE key = ?", ["a"])
    found = [await look(registry, *some) for some in ((alone,), (KEYS,), (alone, KEYS, KEYS))]
    assert in_threads == []
    assert found[1] == await registry.log.queries.look("registry", [KEYS], lambda rows: rows)
    assert found[2].rows == [[("a", 1)], *[[("a",), ("b",)]] * 2]
    assert {rows.head for rows in found} == {(await registry.log.head()).cursor}


async def test_values_of_every_kind_arrive_as_they_are(
    registry: Registry, in_threads: list[Any]
) -> None:
    values = ["é\U0001f600%?", 2**62, None, b"\0\1", ""]
    sql = "SELECT ?::text, ?::bigint, ?::text, ?::bytea, ?::text"
    assert (await look(registry, (sql, values))).rows == [[tuple(values)]]
    assert in_threads == []
    assert (await look(registry, ("SELECT ?::float8", [0.5]))).rows == [[(0.5,)]]
    with pytest.raises(StorageError):
        await look(registry, ("SELECT ?::text", ["a\0b"]))
    assert len(in_threads) == 2


async def test_a_small_table_is_looked_up_by_its_index_though_all_of_it_costs_less(
    registry: Registry, other: psycopg.Connection[Any]
) -> None:
    other.execute("INSERT INTO touched VALUES ('bot', 'a', 1), ('bot', 'b', 1)")
    other.execute("VACUUM ANALYZE touched")
    sql = "EXPLAIN SELECT at_us FROM touched WHERE kind = 'bot' AND key = 'a' ORDER BY at_us"
    plan = "".join(map(str, (await look(registry, (sql, []))).rows))
    assert "touched_pkey" in plan
    assert "Seq Scan" not in plan


async def test_an_error_is_told_by_a_thread_and_harms_no_other_read(registry: Registry) -> None:
    for query in (("SELECT 1 / ?::int", [0]), ("SELECT key FROM none ORDER BY key", [])):
        with pytest.raises(StorageError, match=r"zero|none"):
            await look(registry, query)
        assert (await look(registry, KEYS)).rows == [[("a",), ("b",)]]


@BOTH
async def test_a_read_is_ended_after_the_timeout_in_the_server_too(
    registry: Registry, in_threads: list[Any], other: psycopg.Connection[Any]
) -> None:
    await look(registry, KEYS)
    with pytest.raises(QueryTimeoutError):
        await look(registry, SLEEP, timeout=0.05)
    await until(lambda: not asked(other, "pg_sleep"))
    assert (await look(registry, KEYS)).rows == [[("a",), ("b",)]]
    assert in_threads == []


@BOTH
async def test_a_cancelled_caller_ends_the_read(
    registry: Registry, other: psycopg.Connection[Any]
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look, registry, KEYS, SLEEP)
        await until(lambda: asked(other, "pg_sleep"))
        tasks.cancel_scope.cancel()
    await until(lambda: not asked(other, "pg_sleep"))
    assert (await look(registry, KEYS)).rows == [[("a",), ("b",)]]


async def test_closing_the_store_ends_the_read(
    registry: Registry, other: psycopg.Connection[Any]
) -> None:
    async def reads() -> None:
        with pytest.raises(StoreClosedError):
            await look(registry, SLEEP)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reads)
        await until(lambda: asked(other, "pg_sleep"))
        await registry.close()
    await until(lambda: not asked(other, "pg_sleep"))
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'eventstore'"

    async def none_left() -> bool:
        return other.execute(mine).fetchone() == (0,)

    await eventually(none_left)


async def test_connections_that_were_ended_are_made_anew(
    registry: Registry, other: psycopg.Connection[Any]
) -> None:
    await look(registry, KEYS)
    for _ in range(2):
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'eventstore' AND pid <> pg_backend_pid()"
        )
        assert (await look(registry, KEYS)).rows == [[("a",), ("b",)]]
        assert await registry.get_config("a") == {"n": 1}


async def test_more_reads_at_once_than_connections_are_all_answered(registry: Registry) -> None:
    found: list[ViewRows] = []

    async def reads() -> None:
        found.append(await look(registry, KEYS, ("SELECT pg_sleep(?)", [0.02])))

    async with anyio.create_task_group() as tasks:
        for _ in range(3 * MOST):
            tasks.start_soon(reads)
    assert [rows.rows[0] for rows in found] == [[("a",), ("b",)]] * 3 * MOST


@pytest.mark.slow
@pytest.mark.promise("projection")
async def test_a_swap_waits_for_a_read_which_sees_one_version(url: str) -> None:
    async with EventStore.open(url, inline=[TimesTotals(1)], notify="none") as store:
        await store.append("n/1", [NewEvent("Counted", 3)])
    engine, found = reader_of(url), []
    key = "pg_catalog.hashtext(pg_catalog.current_schema())"
    wait = f"SELECT pg_catalog.pg_advisory_xact_lock({key})"
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND ("
        f"locktype = 'advisory' AND objid = ({key}::bigint & 4294967295)::oid "
        "OR locktype = 'relation' AND relation = 'counts'::regclass)"
    )
    rows: Any = [(wait, []), ("SELECT key, total FROM counts ORDER BY key", [])]
    async with EventStore.open(url, notify="none") as store:

        async def read() -> None:
            found.append(await store.queries.look("totals", rows, lambda rows: rows, brief=True))

        async def swap() -> None:
            async with EventStore.open(url, inline=[TimesTotals(2)], notify="none"):
                pass

        with engine.begin() as holder, engine.connect() as watcher:
            await read()  # The names of the tables are known from now on.
            holder.exec_driver_sql(wait)

            def blocked(count: int) -> bool:
                return bool(watcher.exec_driver_sql(waiting).scalar_one() == count)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await until(lambda: blocked(1))
                tasks.start_soon(swap)
                await until(lambda: blocked(2))
                holder.rollback()
        await read()
    engine.dispose()
    assert [(one.version, dict(one.rows[1])) for one in found] == [
        (1, {"n/1": 3}), (1, {"n/1": 3}), (2, {"n/1": 6})
    ]  # fmt: skip
