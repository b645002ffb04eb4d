"""Inline projections: tables that each append updates in its own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy import (
    Connection,
    insert,
)
from support.logs import LOG_URLS
from support.totals import (
    Totals,
    append_numbers,
    counts,
    read_table,
    read_totals,
)

from eventstore import Event, EventStore, NewEvent, ProjectionError
from eventstore.errors import StorageError
from projections import ProjectionRunner
from projections.tables.checkpoints import projection_table

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.anyio


@pytest.mark.promise("projection")
async def test_inline_and_followed_projections_say_what_arithmetic_says(
    log: str, target: str
) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        assert read_totals(log) == read_totals(target) == expected


async def test_an_inline_projection_has_the_append_when_it_returns(log: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        for n in range(1, 6):
            await store.append("n/1", [NewEvent("Counted", n)])
            assert read_totals(log) == {"n/1": sum(range(n + 1))}


async def test_an_event_that_cannot_be_applied_fails_its_own_append_only(log: str) -> None:
    failed: dict[int, BaseException | None] = {}
    async with EventStore.open(log, inline=[Totals()]) as store:

        async def append(number: int) -> None:
            try:
                await store.append("n/1", [NewEvent("Bad" if number == 3 else "Counted", number)])
            except ProjectionError as error:
                failed[number] = error.__cause__

        async with anyio.create_task_group() as tasks:
            for number in range(1, 8):
                tasks.start_soon(append, number)
        assert (await store.head()).position == 6
    assert list(failed) == [3]
    assert isinstance(failed[3], ZeroDivisionError)
    assert read_totals(log) == {"n/1": 1 + 2 + 4 + 5 + 6 + 7}


async def test_a_projection_catches_up_on_what_a_process_without_it_appended(log: str) -> None:
    url = log
    async with EventStore.open(url, inline=[Totals()]) as store, EventStore.open(url) as other:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await other.append("n/1", [NewEvent("Counted", 10)])
        assert read_totals(log) == {"n/1": 1}
        await store.append("n/1", [NewEvent("Counted", 100)])
        assert read_totals(log) == {"n/1": 111}
        await other.append("n/1", [NewEvent("Counted", 1000)])
    async with EventStore.open(url, inline=[Totals()]):
        assert read_totals(log) == {"n/1": 1111}


async def test_several_stores_may_set_a_projection_up_at_once(log: str, target: str) -> None:
    async def follow() -> None:
        async with EventStore.open(log, inline=[Totals()]) as store:
            projection = Totals().at(target)
            head = await store.head()
            await anyio.to_thread.run_sync(projection.open, head.log_id)
            projection.close()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(follow)
    assert [row[0] for row in read_table(target, projection_table)] == ["totals"]


class Pairs(Totals):
    """Writes two rows with one statement, which gives their keys back."""

    def handle(self, connection: Connection, event: Event) -> None:
        """Write what the event says twice."""
        rows = [{"key": f"{event.data}{number}", "total": number} for number in range(2)]
        done = connection.execute(insert(counts).returning(counts.c.key), rows)
        assert set(done.scalars()) == {row["key"] for row in rows}


@pytest.mark.parametrize("kind", sorted(LOG_URLS))
async def test_a_projection_may_write_many_rows_at_once_and_ask_them_back(
    tmp_path: Path, kind: str
) -> None:
    async with EventStore.open(LOG_URLS[kind](tmp_path), inline=[Pairs()]) as store:
        await store.append("a/1", [NewEvent("Counted", "x")])
        with pytest.raises((ProjectionError, StorageError), match="NUL"):
            await store.append("a/1", [NewEvent("Counted", "\0")])
        assert (await store.head()).position == 1
