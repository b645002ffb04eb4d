"""Readers of a view through swaps under load: each look is of one version at one position.

``pytest -m soak -s tests/tables/test_torn_reads.py`` swaps 15 times on SQLite, 12 on PostgreSQL.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import select, text
from support.builds import with_old_version
from support.marks import ON_ASYNCIO
from support.parts import Parts
from support.processes import child, lines
from support.totals import TimesTotals, WideTotals, counts, reader_of
from support.waiting import until

from eventstore import EventStore, NewEvent
from eventstore.sync import EventStore as SyncStore
from projections.tables.checkpoints import projection_table

if TYPE_CHECKING:
    import subprocess

    from sqlalchemy import Connection
    from support.postgres import Server

    from eventstore.log.operations import Head
    from eventstore.storage.driver import ViewRows

pytestmark = [pytest.mark.anyio, pytest.mark.promise("projection"), ON_ASYNCIO]

SOAK = (pytest.mark.soak, pytest.mark.timeout(3600))
PAUSE_PER_EVENT = 1e-5
READERS = ("query", "query", "sql", "sql")


async def write(store: EventStore, number: int, pause: float = 0.0) -> None:
    """Append commits of one to three events without an end, with so many seconds per event before.

    A writer that is slower the longer the log is appends about as much beside each build.
    """
    commits = 0
    while True:
        commits += 1
        events = [NewEvent("Counted", None) for _ in range(commits % 3 + 1)]
        done = await store.append(f"n/{(commits + number) % 5}", events)
        await anyio.sleep(pause * done.position)


async def swap_under_load(log: str, swaps: int) -> int:
    """Bring up one version after the other, beside writers that have the one before."""
    for version in range(2, swaps + 2):
        async with (
            EventStore.open(log, inline=[Parts(version - 1)], notify="none") as old,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(write, old, version, PAUSE_PER_EVENT)
            async with EventStore.open(log, inline=[Parts(version)], notify="none") as new:
                with anyio.move_on_after(0.2):
                    await write(new, version)
                position = (await new.head()).position
            tasks.cancel_scope.cancel()
    return position


def end(reader: subprocess.Popen[str]) -> list[str]:
    """End a reader, and return what it has said since."""
    assert reader.stdin is not None
    reader.stdin.close()
    reader.stdin = None
    return list(lines(reader))


@pytest.mark.parametrize(
    ("kind", "swaps", "pause"),
    [
        pytest.param("postgresql", 2, 0.01, marks=pytest.mark.slow),
        pytest.param("sqlite", 15, 0.001, marks=SOAK),
        pytest.param("postgresql", 12, 0.01, marks=SOAK),
    ],
)
async def test_four_readers_see_one_version_at_one_position(
    log: str, swaps: int, pause: float
) -> None:
    async with EventStore.open(log, inline=[Parts(1)], notify="none") as store:
        await store.append("n/0", [NewEvent("Counted", None) for _ in range(100)])
    with ExitStack() as stack:
        readers = [stack.enter_context(child("parts_reader", log, way, pause)) for way in READERS]
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline().startswith("looked 20 1")
        position = await swap_under_load(log, swaps)
        said = [end(reader) for reader in readers]
    torn = [line for all_lines in said for line in all_lines if line.startswith("torn")]
    assert not torn, torn[:3]
    looks = [int(all_lines[-1].split()[1]) for all_lines in said]
    print(f"\n{log.partition(':')[0]}: {swaps} swaps, {position} events, looks {looks}, none torn")


@pytest.mark.slow
async def test_a_query_between_whose_statements_a_swap_comes_is_asked_again(
    postgres: Server,
) -> None:
    log, seen = postgres.fresh_schema(), []
    old = await with_old_version(log)

    def ask(connection: Connection, _head: Head) -> dict[str, int]:
        version = connection.execute(select(projection_table.c.version)).scalar_one()
        if version == 1:
            with SyncStore.open(log, inline=[TimesTotals(2)], notify="none"):
                pass
        rows = {row.key: row.total for row in connection.execute(select(counts))}
        seen.append(version)
        if rows != {key: version * total for key, total in old.items()}:
            raise ZeroDivisionError("rows of another version")
        return rows

    async with EventStore.open(log, notify="none") as store:
        assert await store.query(ask) == {key: 2 * total for key, total in old.items()}
    assert seen == [1, 2]


@pytest.mark.slow
async def test_a_query_that_each_connection_has_prepared_finds_the_columns_of_a_new_version(
    postgres: Server,
) -> None:
    log = postgres.fresh_schema()
    await with_old_version(log)
    found: set[tuple[str, ...]] = set()

    def ask(connection: Connection, _head: Head) -> None:
        found.add(tuple(connection.execute(text("SELECT * FROM counts")).keys()))

    async def ask_often(store: EventStore) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(store.query, ask)

    async with EventStore.open(log, notify="none") as store:
        await ask_often(store)
        async with EventStore.open(log, inline=[WideTotals()], notify="none"):
            found.clear()
            await ask_often(store)
    assert found == {("added", "key", "total")}


@pytest.mark.slow
async def test_reads_of_a_seam_in_one_exchange_see_one_version(postgres: Server) -> None:
    log = postgres.fresh_schema()
    old = await with_old_version(log)
    engine = reader_of(log)
    wait = "SELECT pg_catalog.pg_advisory_xact_lock(42)"
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    found: list[ViewRows] = []
    async with EventStore.open(log, notify="none") as store:
        with engine.begin() as holder:
            holder.execute(text(wait))

            async def look() -> None:
                rows = [(wait, ()), ("SELECT key, total FROM counts", ())]
                found.append(await store.queries.look("totals", rows, lambda rows: rows))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(look)
                await until(lambda: holder.execute(text(waiting)).scalar_one())
                async with EventStore.open(log, inline=[TimesTotals(2)], notify="none"):
                    holder.rollback()
    engine.dispose()
    assert (found[0].version, dict(found[0].rows[1])) == (2, {k: 2 * n for k, n in old.items()})
