"""Followed projections: owners, kills between batches, and where the tables may be."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

import pytest
from support.event_tables import event_table
from support.logs import LOG_URLS
from support.processes import run
from support.totals import (
    Totals,
    append_numbers,
    project,
    read_table,
    read_totals,
)
from support.waiting import collect, take

from eventstore import Event, EventStore, HistoryDivergedError, NewEvent
from eventstore.errors import ConfigError, TakenOverError
from projections import ProjectionRunner, TableProjection

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, MetaData
    from support.postgres import Server

pytestmark = pytest.mark.anyio


def killed_after(batches: int, log: str, target: str) -> int:
    """Catch up in another process that is killed after so many batches; return its status."""
    return int(run("dying_runner", log, target, batches).returncode)


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_runner_that_is_killed_between_batches_repeats_and_loses_nothing(
    log: str, target: str
) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
    for batches in (1, 2, 3):
        assert killed_after(batches, log, target) == -signal.SIGKILL
    assert await project(log, target, Totals()) == 50
    assert read_totals(target) == expected


async def test_the_older_of_two_runners_raises_and_changes_nothing(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        old, new = (Totals().at(target) for _ in range(2))
        head = await store.head()
        assert old.open(head.log_id) is None
        await ProjectionRunner(store, new).catch_up()
        page = await take(store.subscribe_changes().commits(), 1)
        with pytest.raises(TakenOverError):
            old.apply(page[0][1], page[0][0])
        with pytest.raises(TakenOverError):
            old.begin_rebuild()
        old.close()
    assert read_totals(target) == expected


async def test_a_runner_of_another_log_takes_nothing_over(
    kind: str, tmp_path: Path, target: str
) -> None:
    url = target
    logs = [tmp_path / name for name in ("one", "two")]
    for folder in logs:
        folder.mkdir()
    first, second = map(LOG_URLS[kind], logs)
    async with EventStore.open(first) as one, EventStore.open(second) as two:
        for store in (one, two):
            await store.append("n/1", [NewEvent("Counted", 1)])
        right = Totals().at(url)
        right.open((await one.head()).log_id)
        ((cursor, events),) = await take(one.subscribe_changes().commits(), 1)
        right.apply(events, cursor)
        with pytest.raises(HistoryDivergedError):
            await ProjectionRunner(two, Totals().at(url)).catch_up()
        right.apply([], cursor)
        right.close()
    assert read_totals(target) == {"n/1": 1}


async def test_a_projection_in_the_logs_own_file_follows_as_well(log: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        projector = ProjectionRunner(store, Totals().at(log))
        await projector.catch_up()
        assert read_totals(log) == expected
        await projector.rebuild()
        assert read_totals(log) == expected
        assert len(await collect(store.read())) == 50


def test_a_followed_projection_needs_a_file() -> None:
    with pytest.raises(ConfigError, match="memory"):
        Totals().at("memory://")


async def test_two_projections_share_one_database(log: str, target: str) -> None:
    last = event_table("last")

    class Last(TableProjection):
        name = "last"
        metadata: ClassVar[MetaData] = last.metadata

        def handle(self, connection: Connection, event: Event) -> None:
            connection.execute(last.delete())
            connection.execute(last.insert().values(position=event.position))

    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        for projection in (Totals(), Last()):
            await ProjectionRunner(store, projection.at(target)).catch_up()
        await ProjectionRunner(store, Last().at(target)).rebuild()
    assert read_totals(target) == expected
    assert read_table(target, last) == [(50,)]


async def test_a_batch_whose_commit_was_lost_is_applied_once(postgres: Server) -> None:
    log, target = postgres.fresh_schema(), postgres.fresh_schema()
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        ((cursor, events),) = await take(store.subscribe_changes().commits(), 1)
        projection = Totals()
        followed = projection.at(target)
        followed.open(cursor.log_id)
        followed.apply(events, cursor)
        followed._at = None  # As it would be, had the answer not arrived.
        followed.apply(events, cursor)
        followed.close()
    assert read_totals(target) == {"n/1": 1}
