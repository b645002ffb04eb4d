"""Views that are dropped under programs that keep them, and tables that others hold or alter."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import select
from support.many_totals import run_sql
from support.marks import ON_ASYNCIO
from support.totals import (
    DoubledTotals,
    NotedTotals,
    TimesTotals,
    Totals,
    append_numbers,
    counts,
    read_table,
    read_totals,
    reader_of,
)
from support.waiting import eventually

from eventstore import EventStore, NewEvent, ProjectionHeldError, ProjectionTableError
from projections import ProjectionRunner
from projections.tables.checkpoints import set_aside_table
from projections.tables.dropping import drop_view
from projections.tables.places import place_at

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Server

pytestmark = [pytest.mark.anyio, pytest.mark.promise("projection"), ON_ASYNCIO]


async def added(store: EventStore, rows: dict[str, int]) -> dict[str, int]:
    """Append one more event, and return the rows with it."""
    await store.append("n/1", [NewEvent("Counted", 5)])
    return rows | {"n/1": rows["n/1"] + 5}


@pytest.mark.parametrize("removed", ["the view", "its table"])
async def test_a_program_that_keeps_a_view_begins_it_anew_with_its_next_append(
    log: str, removed: str
) -> None:
    view = NotedTotals()
    async with EventStore.open(log, inline=[view]) as store:
        rows = await append_numbers(store, 9)
        async with EventStore.open(log) as other:
            if removed == "the view":
                assert await drop_view(other, "totals")
            else:
                run_sql(log, "DROP TABLE counts")
        view.batches.clear()
        for _ in range(2):
            rows = await added(store, rows)
            assert read_totals(log) == rows
        assert view.batches[0][0] == 1, "it begins with the first event"


async def test_a_runner_begins_a_dropped_view_anew(log: str) -> None:
    async with EventStore.open(log) as store, anyio.create_task_group() as tasks:
        rows = await append_numbers(store, 9)
        runner = ProjectionRunner(store, Totals().at(log))
        tasks.start_soon(runner.run)

        async def current() -> bool:
            return await anyio.to_thread.run_sync(read_totals, log) == rows

        await eventually(current)
        assert await drop_view(store, "totals")
        rows = await added(store, rows)
        await eventually(current)
        tasks.cancel_scope.cancel()


async def test_an_append_names_a_table_that_was_altered_and_none_is_lost(log: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        rows = await append_numbers(store, 9)
        run_sql(log, "ALTER TABLE counts RENAME COLUMN total TO theirs")
        with pytest.raises(ProjectionTableError, match=r"'counts'.*was altered.*put them back"):
            await store.append("n/1", [NewEvent("Counted", 5)])
        assert (await store.head()).position == 9
        run_sql(log, "ALTER TABLE counts RENAME COLUMN theirs TO total")
        assert read_totals(log) == rows
        rows = await added(store, rows)
        assert read_totals(log) == rows


async def test_no_event_is_set_aside_for_a_table_that_was_altered(log: str) -> None:
    view = Totals(on_error="set_aside")
    async with (
        EventStore.open(log) as store,
        ProjectionRunner(store, view.at(log)).held() as advance,
    ):
        rows = await append_numbers(store, 9)
        await advance()
        run_sql(log, "ALTER TABLE counts RENAME COLUMN total TO theirs")
        rows["n/1"] += 5
        await store.append("n/1", [NewEvent("Counted", 5)])
        with pytest.raises(ProjectionTableError, match="was altered"):
            await advance()
        run_sql(log, "ALTER TABLE counts RENAME COLUMN theirs TO total")
        await advance()
        assert read_totals(log) == rows
        assert read_table(log, set_aside_table) == []


@pytest.mark.slow
async def test_a_swap_and_a_drop_name_the_reader_that_they_wait_for(postgres: Server) -> None:
    log = postgres.fresh_schema()
    async with EventStore.open(log, inline=[Totals()]) as store:
        rows = await append_numbers(store, 9)
    engine = reader_of(log)
    async with EventStore.open(log) as store:

        async def swap(wait: float) -> None:
            await store.swap_view(DoubledTotals(), wait=wait)

        async def drop(wait: float) -> None:
            await drop_view(store, "totals", wait=wait)

        with engine.connect() as reader:
            pid = reader.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            assert len(reader.execute(select(counts)).all()) == len(rows)
            for change in (swap, drop):
                with pytest.raises(ProjectionHeldError, match="'totals'") as caught:
                    await change(0.2)
                assert caught.value.pids == (pid,)
                assert read_totals(log) == rows
            await store.append("n/1", [NewEvent("Counted", 5)])
        assert await store.swap_view(DoubledTotals())
        rows = rows | {"n/1": rows["n/1"] + 5}
        assert read_totals(log) == {key: 2 * total for key, total in rows.items()}
        assert await drop_view(store, "totals", wait=0)
    engine.dispose()
    assert read_totals(log) == {}


@pytest.mark.slow
async def test_a_swap_in_another_database_names_the_reader_that_it_waits_for(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.tables.postgres.HELD_SECONDS", 0.2)
    target = postgres.fresh_schema()
    engine = reader_of(target)
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        rows = await append_numbers(store, 9)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        place = await place_at(store, target)
        with engine.connect() as reader:
            pid = reader.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            assert len(reader.execute(select(counts)).all()) == len(rows)
            newer = ProjectionRunner(store, DoubledTotals().at(target))
            for change in (partial(place.swap, DoubledTotals(), wait=0.2), newer.catch_up):
                with pytest.raises(ProjectionHeldError, match="'totals'") as caught:
                    await change()
                assert caught.value.pids == (pid,)
                assert read_totals(target) == rows
        assert await place.swap(DoubledTotals())
        assert read_totals(target) == {key: 2 * total for key, total in rows.items()}
        third = TimesTotals(3).at(target)
        await ProjectionRunner(store, third).catch_up()
        assert read_totals(target) == {key: 3 * total for key, total in rows.items()}
    engine.dispose()
