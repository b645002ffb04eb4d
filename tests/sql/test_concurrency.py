"""Threads and processes that write at once, through SQL and through the log."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from support.processes import start
from support.sql_databases import computed_tables, tables_of
from support.sql_tables import changes, read_log
from support.waiting import DEADLINE

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from support.sql_tables import Migrations

    from projections.sql import SqlStorage

COUNTER = "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);"
ROUNDS = 12


def count(storage: SqlStorage, errors: list[BaseException]) -> None:
    try:
        for _ in range(ROUNDS):
            with storage.connection() as c:
                c.execute("SELECT * FROM counter").fetchall()
                c.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    except BaseException as error:
        errors.append(error)


@pytest.mark.promise("sql")
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
@pytest.mark.anyio
async def test_threads_processes_and_a_store_that_write_at_once_all_get_their_turns(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    storage.apply_migrations(migrations.write("1", COUNTER + "INSERT INTO counter VALUES (1, 0);"))
    errors: list[BaseException] = []
    threads = [threading.Thread(target=count, args=(storage, errors)) for _ in range(8)]
    workers = [start("sql_count", url, ROUNDS) for _ in range(2)]
    try:
        with anyio.fail_after(60):
            async with EventStore.open(url) as store:
                for thread in threads:
                    thread.start()
                for number in range(5 * ROUNDS):
                    await store.append("plain/log", [NewEvent("Noted", number)])
                for thread in threads:
                    await anyio.to_thread.run_sync(thread.join)
                codes = [await anyio.to_thread.run_sync(worker.wait) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert (errors, codes) == ([], [0, 0])
    rows = [one[0][3] for one in changes(url)[1:]]
    assert rows == [(1, number + 1) for number in range(10 * ROUNDS)]
    events = read_log(url)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert sum(event.type == "Noted" for event in events) == 5 * ROUNDS
    assert computed_tables(url) == tables_of(url)


@pytest.mark.anyio
async def test_code_that_is_slow_before_its_first_write_blocks_no_writer(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    storage.apply_migrations(migrations.write("1", COUNTER))
    async with EventStore.open(url) as store:
        with storage.connection() as c:
            c.execute("SELECT * FROM counter").fetchall()
            with anyio.fail_after(DEADLINE):
                await store.append("plain/log", [NewEvent("Noted", 1)])
            c.execute("INSERT INTO counter VALUES (1, 1)")
    assert [event.type for event in read_log(url)] == ["SchemaChanged", "Noted", "RowsChanged"]
